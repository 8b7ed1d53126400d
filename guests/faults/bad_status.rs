//! Answers with a status that no final response has, once the API has refused one that has too many digits.

use fixtures::p2::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};

const TOO_LONG: u16 = 1000;
const INFORMATIONAL: u16 = 101;

fixtures::serve_p2!(handle);

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    assert!(response.set_status_code(TOO_LONG).is_err());
    let _ = response.set_status_code(INFORMATIONAL);
    ResponseOutparam::set(out, Ok(response));
}
