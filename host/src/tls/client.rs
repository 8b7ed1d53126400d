//! What a verified client certificate tells the service: Envoy's `x-forwarded-client-cert`.

use std::fmt::Write;

use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};
use x509_parser::x509::AttributeTypeAndValue;

use super::hex;

/// The header's value for a certificate: printable ASCII, in which no quote occurs but those around the subject.
pub(crate) fn forwarded(certificate: &CertificateDer<'_>) -> HeaderValue {
    let mut value = format!("Hash={}", hex(&Sha256::digest(certificate)));
    if let Ok((_, certificate)) = X509Certificate::from_der(certificate) {
        value.push_str(";Subject=\"");
        value.push_str(&subject(certificate.subject()));
        value.push('"');
    }
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""))
}

/// A name as RFC 4514 writes it, the most specific part first.
fn subject(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter()
        .map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let kind = oid2abbrev(oid, oid_registry());
    let kind = kind.map_or_else(|_| oid.to_id_string(), str::to_owned);
    match attribute.as_str() {
        Ok(text) => format!("{kind}={}", escaped(text)),
        Err(_) => format!("{kind}=#{}", hex(attribute.as_slice())),
    }
}

/// Everything but what can stand in a header, in quotes and between commas for itself goes as `\` and two digits.
fn escaped(text: &str) -> String {
    let last = text.len().saturating_sub(1);
    let mut escaped = String::new();
    for (at, byte) in text.bytes().enumerate() {
        let is_plain = match byte {
            b' ' => at != 0 && at != last,
            b'#' => at != 0,
            byte => byte.is_ascii_graphic() && !b"\"+,;<>\\=".contains(&byte),
        };
        match is_plain {
            true => escaped.push(char::from(byte)),
            // Writing to a string can't fail.
            false => write!(escaped, "\\{byte:02X}").unwrap_or_default(),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn shown(parts: &[(DnType, &str)]) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let value = forwarded(certificate.der());
        let value = value.to_str().unwrap();
        let (hash, subject) = value.split_once(';').unwrap();
        let digest = hex(&Sha256::digest(certificate.der()));
        assert_eq!(hash, format!("Hash={digest}"));
        subject.to_owned()
    }

    #[test]
    fn a_subject_is_written_from_its_most_specific_part() {
        let subject = shown(&[
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Shop & Co"),
            (DnType::CommonName, "till-7"),
        ]);
        assert_eq!(subject, "Subject=\"CN=till-7,O=Shop & Co,C=DE\"");
        assert_eq!(shown(&[]), "Subject=\"\"");
    }

    #[test]
    fn a_subject_cant_pretend_to_be_more_than_one() {
        let subject = shown(&[
            (DnType::OrganizationName, "#1 é "),
            (DnType::CommonName, "a\";Hash=0,CN=b\\\r\n"),
        ]);
        let expected = r#"Subject="CN=a\22\3BHash\3D0\2CCN\3Db\5C\0D\0A,O=\231 \C3\A9\20""#;
        assert_eq!(subject, expected);
    }
}
