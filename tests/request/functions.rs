//! Services call each other's functions: interfaces that one imports and another exports.

use crate::support::setup::Setup;
use crate::support::verb::skep;
use crate::support::{Answer, Host, probe};

const MAY_CALL: &str = "[allow]\nservices = [\"ledger\"]\n";
/// With more time than the callee has.
const MAY_CALL_LONG: &str =
    "[allow]\nservices = [\"ledger\"]\n[limits]\ntimeout = \"30s\"\ncpu = \"20s\"\n";

/// Services `two` and `three`, one for each version of wasi:http, that call the functions of `ledger`.
fn clients(ledger: &str) -> Setup {
    Host::with("ledger", probe(ledger))
        .manifest("ledger", "route = []\n")
        .and("two", probe("ledger_client"))
        .manifest("two", MAY_CALL)
        .and("three", probe("ledger_client_p3"))
        .manifest("three", MAY_CALL)
}

async fn ask(host: &Host, query: &str) -> [Answer; 2] {
    [
        host.get(&format!("/two?{query}")).await,
        host.get(&format!("/three?{query}")).await,
    ]
}

#[tokio::test]
async fn values_of_every_kind_cross_between_services_of_every_kind() {
    for ledger in ["ledger", "ledger_p2"] {
        let host = clients(ledger).start().await;
        for (query, expected) in [
            ("name=bread", "Ok(1)"),
            ("name=nobody", "Err(Refusal::Unknown(\"nobody\"))"),
            ("name=bread&amount=5000", "Err(Refusal::TooMuch(5000))"),
            ("how=well", "well"),
            ("how=%C3%A9", "é"),
        ] {
            for answer in ask(&host, query).await {
                assert_eq!(answer.status(), 200, "{ledger} {query}: {answer:?}");
                assert_eq!(answer.text().trim_end(), expected, "{ledger} {query}");
            }
        }
        host.stop().await;
    }
}

#[tokio::test]
async fn a_call_of_a_function_is_a_request_of_the_callee() {
    let host = clients("ledger").start().await;
    for (answer, caller) in ask(&host, "how=well").await.iter().zip(["two", "three"]) {
        let id = answer.header("x-request-id").unwrap();
        let line = host
            .log_line("the call", |line| {
                line.field("service") == "ledger" && line.field("id") == id
            })
            .await;
        assert_eq!(line.field("caller"), caller, "{}", line.text());
        assert_eq!(line.field("path"), "/test:ledger/plain@0.1.0/behave");
        assert_eq!(line.field("status"), "200");
    }
    let edges = host.admin("/v1/graph").await.json();
    assert_eq!(edges["edges"][0]["calls"], 1, "{edges:#}");
    assert_eq!(
        host.admin("/v1/services/ledger").await.json()["kind"],
        "functions"
    );
    assert_eq!(host.service("two").await.state, "ready");
    host.stop().await;
}

#[tokio::test]
async fn async_functions_run_beside_each_other() {
    let host = clients("ledger")
        .manifest(
            "ledger",
            "route = []\n[instances]\nreuse = 100\nconcurrency = 10\n",
        )
        .manifest("three", "[allow]\nservices = [\"ledger\"]\n")
        .start()
        .await;
    assert_eq!(host.get("/three?wait=1").await.text(), "3\n");
    let held = host.begin("/three?wait=60000").await;
    host.works_on("ledger", 3).await;
    drop(held);
    host.stop().await;
}

#[tokio::test]
async fn instances_that_provide_functions_are_used_again_where_the_manifest_says_so() {
    for (ledger, reuse) in [
        ("ledger", "[instances]\nreuse = 100\n"),
        ("ledger_p2", "[instances]\nreuse = 100\n"),
    ] {
        let host = clients(ledger)
            .manifest(
                "ledger",
                &format!("route = []\n{reuse}[limits]\nconcurrency = 1\n"),
            )
            .start()
            .await;
        for expected in ["Ok(1)", "Ok(2)", "Ok(3)"] {
            let answer = host.get("/two?name=bread").await;
            assert_eq!(answer.text().trim_end(), expected, "{ledger}");
        }
        host.stop().await;
    }
}

#[tokio::test]
async fn a_callee_that_fails_fails_the_call_alone() {
    let cases = [
        ("trap", "guest_trapped", ""),
        ("spin", "cpu_deadline", "cpu = \"100ms\"\ntimeout = \"60s\""),
        ("sleep", "wall_deadline", "timeout = \"500ms\""),
    ];
    let ledgers = ["ledger", "ledger_p2"].into_iter();
    for (ledger, (how, cause, limits)) in
        ledgers.flat_map(|ledger| cases.map(|case| (ledger, case)))
    {
        let host = clients(ledger)
            .manifest("ledger", &format!("route = []\n[limits]\n{limits}\n"))
            .manifest("two", MAY_CALL_LONG)
            .manifest("three", MAY_CALL_LONG)
            .start()
            .await;
        let answers = ask(&host, &format!("how={how}")).await;
        for (answer, caller) in answers.iter().zip(["two", "three"]) {
            assert_eq!(answer.status(), 502, "{ledger} {how}: {answer:?}");
            assert!(
                answer.text().contains("urn:skep:fault:callee_failed"),
                "{answer:?}"
            );
            let id = answer.header("x-request-id").unwrap();
            let callee = host
                .log_line("the callee's fault", |line| {
                    line.field("service") == "ledger" && line.field("id") == id
                })
                .await;
            assert_eq!(callee.field("cause"), cause, "{}", callee.text());
            let caller = host
                .log_line("the caller's fault", |line| {
                    line.field("service") == caller && line.field("id") == id
                })
                .await;
            let detail = caller.field("detail");
            assert!(
                detail.contains("test:ledger/plain@0.1.0#behave"),
                "{detail}"
            );
            assert!(detail.contains(cause), "{detail}");
        }
        for answer in ask(&host, "how=well").await {
            assert_eq!(answer.text(), "well\n");
        }
        host.works_on("ledger", 0).await;
        host.stop().await;
    }
}

#[tokio::test]
async fn what_is_imported_comes_and_goes_and_changes_while_its_callers_run() {
    let host = Host::with("two", probe("ledger_client"))
        .manifest("two", MAY_CALL)
        .start()
        .await;
    // All that needs no ledger works without one.
    assert_eq!(host.get("/two").await.text(), "nothing to call\n");
    assert_eq!(host.get("/two?how=well").await.status(), 502);
    let listed = host.admin("/v1/services/two").await.json();
    assert_eq!(listed["state"], "degraded");
    let why = "it imports test:ledger/plain@0.1.0: no service that it may call exports test:ledger/plain@0.1.0";
    assert_eq!(listed["unbound"][0], why);
    let said = host
        .log_line("that something is missing", |line| {
            line.says("the service is degraded", "two")
        })
        .await;
    assert!(said.field("lacks").contains(why), "{}", said.text());

    host.deploy("ledger", probe("ledger"));
    host.promoted("ledger", 1).await;
    assert_eq!(host.get("/two?how=well").await.text(), "well\n");
    assert_eq!(host.service("two").await.state, "ready");

    host.deploy("ledger", probe("ledger_patched"));
    host.promoted("ledger", 2).await;
    assert_eq!(host.get("/two?how=well").await.text(), "patched\n");
    assert_eq!(host.get("/two?name=any").await.text(), "Ok(7)\n");

    host.deploy("ledger", probe("ledger_next"));
    let why = "it would break two: it imports test:ledger/plain@0.1.0: ledger exports test:ledger/plain@0.2.0";
    host.refused_with("ledger", why).await;
    assert_eq!(host.get("/two?how=well").await.text(), "patched\n");

    host.put("ledger.toml", "[rollout]\nallow_breaking = true");
    host.nth_line("the third revision", 3, |line| {
        line.says("revision promoted", "ledger")
    })
    .await;
    let answer = host.get("/two?how=well").await;
    assert_eq!(answer.status(), 502);
    let detail = host.logged(&answer).await.field("detail");
    let why = "ledger exports test:ledger/plain@0.2.0, which is not compatible with test:ledger/plain@0.1.0";
    assert!(detail.contains(why), "{detail}");
    let listed = host.admin("/v1/services/two").await.json();
    assert_eq!(listed["state"], "degraded");
    assert!(
        listed["unbound"][0].as_str().unwrap().contains(why),
        "{listed:#}"
    );
    host.stop().await;
}

#[tokio::test]
async fn functions_of_services_that_are_not_listed_are_not_called() {
    let host = Host::with("ledger", probe("ledger"))
        .and("two", probe("ledger_client"))
        .start()
        .await;
    let answer = host.get("/two?how=well").await;
    assert_eq!(answer.status(), 502);
    let detail = host.logged(&answer).await.field("detail");
    assert!(
        detail.contains("no service that it may call exports"),
        "{detail}"
    );
    let listed = host.admin("/v1/services/two").await.json();
    let why = listed["unbound"][0].as_str().unwrap();
    assert!(
        why.ends_with(
            "ledger does: add \"ledger\" to services under [allow] in the manifest of two"
        ),
        "{why}"
    );
    // It has a route by default, and no handler behind it.
    let answer = host.get("/ledger").await;
    assert_eq!(answer.status(), 404, "{answer:?}");
    host.stop().await;
}

#[tokio::test]
async fn no_other_service_is_called_in_the_place_of_one_whose_function_fails() {
    let host = clients("ledger")
        // It has the function as well.
        .and("other", probe("ledger_p2"))
        .manifest(
            "ledger",
            "[breaker]\nwindow_calls = 1\nminimum_calls = 1\n[fallback]\nservice = \"other\"\n",
        )
        .start()
        .await;
    for how in ["trap", "well"] {
        for answer in ask(&host, &format!("how={how}")).await {
            assert_eq!(answer.status(), 502, "{how}: {answer:?}");
        }
    }
    host.stop().await;
}

#[tokio::test]
async fn settings_that_a_component_of_functions_cannot_have_are_refused() {
    let host = Host::with("ledger", probe("ledger"))
        .manifest("ledger", "[health]\n")
        .and("three", probe("ledger_client_p3"))
        .manifest("three", "[instances]\nconcurrency = 4\n")
        .start()
        .await;
    for (service, words) in [
        ("ledger", "[health] asks for a path"),
        ("three", "works on one request at a time"),
    ] {
        let error = host.service(service).await.error.unwrap();
        assert!(error.contains(words), "{error}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_call_has_no_more_time_than_its_caller() {
    let host = clients("ledger_p2")
        .manifest("ledger", "[limits]\ntimeout = \"60s\"\ncpu = \"50s\"\n")
        .manifest(
            "two",
            "[allow]\nservices = [\"ledger\"]\n[limits]\ntimeout = \"300ms\"\n",
        )
        .manifest(
            "three",
            "[allow]\nservices = [\"ledger\"]\n[limits]\ncpu = \"100ms\"\ntimeout = \"50s\"\n",
        )
        .start()
        .await;
    let answer = host.get("/two?how=sleep").await;
    assert!([502, 504].contains(&answer.status()), "{answer:?}");
    let answer = host.get("/three?how=spin").await;
    assert_eq!(answer.status(), 502, "{answer:?}");
    host.works_on("ledger", 0).await;
    host.stop().await;
}

#[tokio::test]
async fn check_says_what_cannot_be_bound_and_why() {
    let setup = Host::with("two", probe("ledger_client"))
        .manifest("two", MAY_CALL)
        .and("ledger", probe("ledger_next"))
        .and("handles", probe("ledger_handles"));
    let folder = setup.services();
    skep(["check", folder.to_str().unwrap()]).await.assert_refused(
        1,
        &[
            "two: it imports test:ledger/plain@0.1.0: ledger exports test:ledger/plain@0.2.0, which is not compatible",
            "imports test:ledger/books@0.1.0#book with a resource in its types",
        ],
    );
    setup.deploy("ledger", probe("ledger"));
    std::fs::remove_file(folder.join("handles.wasm")).unwrap();
    let said = skep(["check", folder.to_str().unwrap()]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
}
