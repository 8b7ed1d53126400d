//! What manifests say of WebSockets.

use skep_policy::websocket::{Origin, Origins, Settings};

use super::*;

fn websocket(route: &str) -> Result<Option<Settings>, String> {
    let manifest = format!("component = 'hello.wasm'\n[[route]]\npath = '/a'\n{route}\n");
    let folder = Folder::new().with("a.toml", manifest);
    let service = folder.service("a.toml")?;
    let settings = service
        .edges
        .first()
        .and_then(|edge| edge.websocket.clone());
    assert_eq!(service.has_websockets(), settings.is_some());
    Ok(settings)
}

#[test]
fn a_route_has_websockets_if_it_says_so() {
    for (route, expected) in [
        ("", None),
        ("websocket = false", None),
        ("websocket = true", Some(Settings::DEFAULT)),
        ("[route.websocket]", Some(Settings::DEFAULT)),
        (
            "methods = ['GET', 'POST']\nwebsocket = true",
            Some(Settings::DEFAULT),
        ),
    ] {
        assert_eq!(websocket(route), Ok(expected), "{route}");
    }
}

#[test]
fn what_is_said_counts() {
    let said = "[route.websocket]\nconnections = 5\nmessage = '1MiB'\nidle = '1h'\nping = '10s'\nqueue = 8\n\
                origins = ['HTTPS://shop.example:443', 'http://localhost:5173']";
    let origins = ["https://shop.example", "http://localhost:5173"];
    let origins = origins.map(|origin| Origin::try_from(origin).unwrap());
    let expected = Settings {
        connections: 5,
        message: 1 << 20,
        idle: Duration::from_secs(3600),
        ping: Duration::from_secs(10),
        queue: 8,
        origins: Origins::These(origins.to_vec()),
    };
    assert_eq!(websocket(said), Ok(Some(expected)));
    let any = websocket("websocket = { origins = ['*'] }").unwrap();
    assert_eq!(any.unwrap().origins, Origins::Any);
}

#[test]
fn what_can_not_be_is_refused() {
    for (route, said) in [
        ("websocket = 1", "true, false or a table"),
        ("websocket = 'yes'", "true, false or a table"),
        ("[route.websocket]\nmessages = 1", "message"),
        (
            "[route.websocket]\nmessage = '2MiB'",
            "route[0].websocket.message: must be between 125B and 1MiB",
        ),
        (
            "[route.websocket]\norigins = ['shop.example']",
            "\"shop.example\" is no origin",
        ),
        (
            "[route.websocket]\norigins = ['*', 'http://a']",
            "which is all",
        ),
        (
            "methods = ['POST']\nwebsocket = true",
            "begins with GET, which the route does not take",
        ),
        (
            "websocket = true\n[route.redirect]\nto = '/b'",
            "this route never asks",
        ),
    ] {
        let error = websocket(route).unwrap_err();
        assert!(error.contains(said), "{route}: {error}");
    }
}
