//! A form as the body of a request.

use std::collections::VecDeque;

use bytes::Bytes;
use indicatif::ProgressBar;

use crate::cli::upload::Upload;

/// A form as multipart/form-data (RFC 7578).
#[derive(Debug)]
pub(in crate::cli) struct Form {
    boundary: String,
    parts: VecDeque<Bytes>,
}

impl Form {
    /// An empty form. `unguessable` is in no part of it: a digest of what the largest one holds, say.
    pub(in crate::cli) fn new(unguessable: &str) -> Self {
        let is_token = |char: &char| char.is_ascii_alphanumeric();
        let token: String = unguessable.chars().filter(is_token).take(60).collect();
        Self {
            boundary: format!("skep-{token}"),
            parts: VecDeque::new(),
        }
    }

    /// A field with a text.
    pub(in crate::cli) fn text(&mut self, name: &str, text: &str) {
        self.part(name, "", Bytes::copy_from_slice(text.as_bytes()));
    }

    /// A field with bytes.
    pub(in crate::cli) fn file(&mut self, name: &str, bytes: Bytes) {
        let head = format!("; filename=\"{name}\"\r\ncontent-type: application/octet-stream");
        self.part(name, &head, bytes);
    }

    fn part(&mut self, name: &str, more: &str, bytes: Bytes) {
        let boundary = &self.boundary;
        let head = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"{more}\r\n\r\n"
        );
        self.parts
            .extend([Bytes::from(head), bytes, Bytes::from_static(b"\r\n")]);
    }

    /// The media type, with the boundary.
    pub(super) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// The whole body.
    pub(super) fn into_upload(mut self, bar: ProgressBar) -> Upload {
        let end = format!("--{}--\r\n", self.boundary);
        self.parts.push_back(Bytes::from(end));
        Upload::of(self.parts, bar)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use hyper::body::Body;

    use super::*;

    #[tokio::test]
    async fn a_form_has_its_parts_between_boundaries_and_says_how_long_it_is() {
        let mut form = Form::new("sha256:ab/c");
        form.text("source", "here");
        form.file("artifact", Bytes::from(vec![7; 100 << 10]));
        assert_eq!(
            form.content_type(),
            "multipart/form-data; boundary=skep-sha256abc"
        );
        let bar = ProgressBar::hidden();
        let upload = form.into_upload(bar.clone());
        let length = upload.size_hint().exact().unwrap();
        let body = upload.collect().await.unwrap().to_bytes();
        assert_eq!(body.len() as u64, length);
        assert_eq!((bar.position(), bar.length()), (length, Some(length)));
        let begin = "--skep-sha256abc\r\ncontent-disposition: form-data; name=\"source\"\r\n\r\nhere\r\n\
             --skep-sha256abc\r\ncontent-disposition: form-data; name=\"artifact\"; filename=\"artifact\"\r\n\
             content-type: application/octet-stream\r\n\r\n\x07";
        assert!(body.starts_with(begin.as_bytes()));
        assert!(body.ends_with(b"\x07\r\n--skep-sha256abc--\r\n"));
    }
}
