//! Requests that ask for revisions by number: who may deploy can see what a candidate answers before others do.

use http::{HeaderMap, HeaderName, HeaderValue};
use skep_policy::name::ServiceName;

use crate::config::Role;
use crate::fault::{Cause, Fault};
use crate::host::Core;
use crate::registry::{Service, Snapshot};

/// `7`, of the service that the request is for; or `orders=7, payment=3`, of these wherever they are called.
const REVISION: HeaderName = HeaderName::from_static("x-skep-revision");
/// A token of the admin API.
const TOKEN: HeaderName = HeaderName::from_static("x-skep-token");

/// The revisions that a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Pins {
    First(u64),
    Each(Vec<(ServiceName, u64)>),
}

/// Whether a request asks for any.
pub(super) fn has_any(headers: &HeaderMap) -> bool {
    headers.contains_key(REVISION)
}

/// Makes sure that a request for the service `first` may ask for the revisions that it asks for, if it does, and that
/// they are there.
///
/// # Errors
/// [`Cause::Forbidden`], [`Cause::MalformedRequest`] or [`Cause::NoRevision`].
pub(super) fn check(
    core: &Core,
    snapshot: &Snapshot,
    first: &Service,
    headers: &HeaderMap,
) -> Result<(), Fault> {
    if !has_any(headers) {
        return Ok(());
    }
    may_choose(core, headers)?;
    let malformed = || {
        let detail =
            format!("{REVISION} is a revision's number, or `NAME=NUMBER, …` for several services");
        Fault::new(Cause::MalformedRequest, detail)
    };
    let asked = match read(headers).ok_or_else(malformed)? {
        Pins::First(number) => vec![(first.name.clone(), number)],
        Pins::Each(each) => each,
    };
    for (name, number) in asked {
        let service = snapshot.services.get(&name);
        let answering = service.map(|service| service.answering());
        let mut answering = answering.into_iter().flatten();
        if !answering.any(|revision| revision.number == number) {
            let detail = format!(
                "revision {number} of {name} neither runs nor is on trial; `skep ls` says what does"
            );
            return Err(Fault::new(Cause::NoRevision, detail));
        }
    }
    Ok(())
}

/// Whether the request presents a token that may deploy.
fn may_choose(core: &Core, headers: &HeaderMap) -> Result<(), Fault> {
    let forbidden = |detail: &str| Fault::new(Cause::Forbidden, detail);
    let tokens = &core.config.tokens;
    if tokens.are_none() {
        let what = "the host has no token that would allow to choose a revision: add a [[token]] to its skep.toml";
        return Err(forbidden(what));
    }
    let mut given = headers.get_all(TOKEN).iter();
    let given = match (given.next(), given.next()) {
        (Some(given), None) => given.to_str().ok(),
        _ => None,
    };
    let caller = given.and_then(|given| tokens.identify(given));
    if caller.is_some_and(|caller| caller.role >= Role::Deploy) {
        Ok(())
    } else {
        Err(forbidden(
            "x-skep-token is no token of the admin API that may deploy, which x-skep-revision needs beside it",
        ))
    }
}

/// The revision that a checked request asks for: of the service it `is_first` for, or of one by name.
pub(super) fn of(headers: &HeaderMap, service: &ServiceName, is_first: bool) -> Option<u64> {
    // Looked for first, since most requests have none.
    if !has_any(headers) {
        return None;
    }
    match read(headers)? {
        Pins::First(number) => is_first.then_some(number),
        Pins::Each(each) => {
            let mut each = each.into_iter();
            each.find_map(|(name, number)| (name == *service).then_some(number))
        }
    }
}

fn read(headers: &HeaderMap) -> Option<Pins> {
    let values: Option<Vec<&str>> = headers
        .get_all(REVISION)
        .iter()
        .map(|value: &HeaderValue| value.to_str().ok())
        .collect();
    let all = values?.join(",");
    if !all.contains('=') {
        return Some(Pins::First(number(all.trim())?));
    }
    let mut each: Vec<(ServiceName, u64)> = Vec::new();
    for pair in all.split(',') {
        let (name, of_name) = pair.split_once('=')?;
        let name = ServiceName::try_from(name.trim()).ok()?;
        if each.iter().any(|(other, _)| *other == name) {
            return None;
        }
        each.push((name, number(of_name.trim())?));
    }
    Some(Pins::Each(each))
}

fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_asked_for_by_number_or_by_name() {
        let name = |text: &str| ServiceName::try_from(text).unwrap();
        let each = |pairs: &[(&str, u64)]| {
            let pairs = pairs.iter().map(|(of, number)| (name(of), *number));
            Some(Pins::Each(pairs.collect()))
        };
        for (values, expected) in [
            (&["7"][..], Some(Pins::First(7))),
            (&[" 7 "], Some(Pins::First(7))),
            (&["orders=7"], each(&[("orders", 7)])),
            (&["a=1, b = 2"], each(&[("a", 1), ("b", 2)])),
            (&["a=1", "b=2"], each(&[("a", 1), ("b", 2)])),
            (&[""], None),
            (&["+7"], None),
            (&["7", "8"], None),
            (&["7, a=1"], None),
            (&["a=1,"], None),
            (&["a=1, a=2"], None),
            (&["A=1"], None),
            (&["a="], None),
            (&["a=99999999999999999999"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(REVISION, HeaderValue::from_static(value));
            }
            assert_eq!(read(&headers), expected, "{values:?}");
        }
    }
}
