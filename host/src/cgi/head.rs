//! A program's output to the head of a response (RFC 3875, section 6), as it arrives and strictly.
//!
//! What is not plainly a head is refused, never repaired: a lenient reading here is how one response is
//! smuggled into another.

use http::StatusCode;
use http::header::{
    self, HeaderMap, HeaderName, HeaderValue, InvalidHeaderName, InvalidHeaderValue,
};

use super::HOP_BY_HOP;

const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 128;

const STATUS_MIN: u16 = 200;
const STATUS_MAX: u16 = 599;

/// How long a head may get.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes up to the body, blank line included.
    pub bytes: usize,
    /// Fields.
    pub headers: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            bytes: HEAD_BYTES_MAX,
            headers: HEADERS_MAX,
        }
    }
}

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// 200 to 599.
    pub status: StatusCode,
    /// Fields as given, without `Status`. A `content-length` is a number and stands alone; whether the body
    /// has that length remains to be seen.
    pub headers: HeaderMap,
    /// Whether a body may follow: not without a content type, nor with the statuses 204, 205 and 304. A byte
    /// after such a head is [`CgiError::UnexpectedBody`], to be raised by who reads on.
    pub body_allowed: bool,
}

/// The program's output is not a CGI response. The guest's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CgiError {
    /// Nothing was written.
    #[error("the program ended without writing a response")]
    Empty,
    /// The output ended within the head.
    #[error("the program ended before the blank line that ends the response's head")]
    Cut,
    /// The output begins with a status line.
    #[error(
        "the program wrote a whole HTTP response; write CGI fields such as `Status: 200 OK` instead of a status line"
    )]
    StatusLine,
    /// Not a single one of the fields that make a CGI response.
    #[error("the response's head has neither Content-Type nor Location nor Status")]
    NoCgiField,
    /// More bytes than allowed.
    #[error("the response's head is longer than {0} bytes")]
    TooLong(usize),
    /// More fields than allowed.
    #[error("the response's head has more than {0} fields")]
    TooManyHeaders(usize),
    /// A line that is no field.
    #[error("line {line} of the response's head is not of the form `Name: value`")]
    NotAField {
        /// Counted from 1.
        line: usize,
    },
    /// A continuation line.
    #[error("line {line} of the response's head begins with white space; a field has one line")]
    Folded {
        /// Counted from 1.
        line: usize,
    },
    /// Not a token.
    #[error("line {line} of the response's head has an illegal field name")]
    Name {
        /// Counted from 1.
        line: usize,
    },
    /// Control characters.
    #[error("line {line} of the response's head has an illegal field value")]
    Value {
        /// Counted from 1.
        line: usize,
    },
    /// Not a status that a program may set.
    #[error(
        "the Status field is not a number from {STATUS_MIN} to {STATUS_MAX}, then a space and a reason"
    )]
    Status,
    /// Not a length.
    #[error("the Content-Length field is not a number of bytes")]
    ContentLength,
    /// Twice what may be said once.
    #[error("the response's head has two {0} fields")]
    Repeated(HeaderName),
    /// About the connection, which is the host's.
    #[error("the response's head has a {0} field, which is the server's to set")]
    HopByHop(HeaderName),
    /// A body after a head that excludes one.
    #[error("the response has a body but no Content-Type, or a status that has none")]
    UnexpectedBody,
}

/// Reads a head from output that arrives in pieces.
#[derive(Debug)]
pub struct HeadParser {
    limits: HeadLimits,
    /// The line that has begun.
    line: Vec<u8>,
    lines: usize,
    bytes: usize,
    fields: usize,
    status: Option<StatusCode>,
    headers: HeaderMap,
}

impl Default for HeadParser {
    fn default() -> Self {
        Self::new(HeadLimits::default())
    }
}

impl HeadParser {
    /// A parser of one head.
    #[must_use]
    pub fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            line: Vec::new(),
            lines: 0,
            bytes: 0,
            fields: 0,
            status: None,
            headers: HeaderMap::new(),
        }
    }

    /// Takes the next bytes. Once the head is whole, returns it and the index in `bytes` where the body
    /// begins; the parser is then as new.
    ///
    /// # Errors
    /// [`CgiError`] as soon as the bytes can't become a head; nothing may be pushed after.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<(Head, usize)>, CgiError> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.extend_line(&rest[..end])?;
            rest = &rest[end + 1..];
            self.count(1)?;
            let mut line = std::mem::take(&mut self.line);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            self.lines += 1;
            if line.is_empty() {
                let parsed = std::mem::replace(self, Self::new(self.limits));
                return Ok(Some((parsed.head()?, bytes.len() - rest.len())));
            }
            self.field(&line)?;
        }
        self.extend_line(rest)?;
        Ok(None)
    }

    /// The error that the end of the output is, coming before the end of the head.
    #[must_use]
    pub fn ended(&self) -> CgiError {
        if self.bytes == 0 {
            CgiError::Empty
        } else {
            CgiError::Cut
        }
    }

    fn extend_line(&mut self, part: &[u8]) -> Result<(), CgiError> {
        self.count(part.len())?;
        self.line.extend_from_slice(part);
        if self.lines == 0 && self.line.starts_with(b"HTTP/") {
            return Err(CgiError::StatusLine);
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), CgiError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limits.bytes {
            return Err(CgiError::TooLong(self.limits.bytes));
        }
        Ok(())
    }

    fn field(&mut self, bytes: &[u8]) -> Result<(), CgiError> {
        let line = self.lines;
        if matches!(bytes.first(), Some(b' ' | b'\t')) {
            return Err(CgiError::Folded { line });
        }
        self.fields += 1;
        if self.fields > self.limits.headers {
            return Err(CgiError::TooManyHeaders(self.limits.headers));
        }
        let colon = bytes
            .iter()
            .position(|byte| *byte == b':')
            .ok_or(CgiError::NotAField { line })?;
        let name = HeaderName::from_bytes(&bytes[..colon])
            .map_err(|_: InvalidHeaderName| CgiError::Name { line })?;
        let value = HeaderValue::from_bytes(trimmed(&bytes[colon + 1..]))
            .map_err(|_: InvalidHeaderValue| CgiError::Value { line })?;
        if HOP_BY_HOP.contains(&name.as_str()) {
            return Err(CgiError::HopByHop(name));
        }
        if name == "status" {
            let status = status(value.as_bytes()).ok_or(CgiError::Status)?;
            return match self.status.replace(status) {
                None => Ok(()),
                Some(_) => Err(CgiError::Repeated(name)),
            };
        }
        if name == header::CONTENT_LENGTH && length(&value).is_none() {
            return Err(CgiError::ContentLength);
        }
        let is_single = [
            header::CONTENT_LENGTH,
            header::CONTENT_TYPE,
            header::LOCATION,
        ]
        .contains(&name);
        if is_single && self.headers.contains_key(&name) {
            return Err(CgiError::Repeated(name));
        }
        self.headers.append(name, value);
        Ok(())
    }

    fn head(self) -> Result<Head, CgiError> {
        let has_type = self.headers.contains_key(header::CONTENT_TYPE);
        let status = match self.status {
            Some(status) => status,
            // A path as well as a URL: the client is redirected, which a local redirect allows.
            None if self.headers.contains_key(header::LOCATION) => StatusCode::FOUND,
            None if has_type => StatusCode::OK,
            None => return Err(CgiError::NoCgiField),
        };
        let is_bodiless = [
            StatusCode::NO_CONTENT,
            StatusCode::RESET_CONTENT,
            StatusCode::NOT_MODIFIED,
        ]
        .contains(&status);
        Ok(Head {
            status,
            headers: self.headers,
            body_allowed: has_type && !is_bodiless,
        })
    }
}

/// Without the white space around it; a carriage return is not among it.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Three digits, alone or followed by a space and whatever reason.
fn status(value: &[u8]) -> Option<StatusCode> {
    let (digits, reason) = value.split_at_checked(3)?;
    let is_delimited = reason.first().is_none_or(|byte| *byte == b' ');
    let status = StatusCode::from_bytes(digits)
        .ok()
        .filter(|_| is_delimited)?;
    (STATUS_MIN..=STATUS_MAX)
        .contains(&status.as_u16())
        .then_some(status)
}

/// Digits alone: a sign or a list is no length.
fn length(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;
