//! Content codings.

use skep_policy::coding::{Coding, Compression, TypePattern};
use skep_policy::quote::quoted;

use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::RawCompression;

const TYPES_MAX: usize = 256;

pub(super) fn resolve(raw: RawCompression, scope: &Scope<'_>) -> Result<Compression, ConfigError> {
    let mut compression = Compression::default();
    if let Some(names) = raw.codings {
        compression.codings.clear();
        for (at, name) in names.0.iter().enumerate() {
            let wrong = |what: String| Err(scope.error(&["codings", &at.to_string()], what));
            match Coding::named(name) {
                None => {
                    return wrong(format!(
                        "{} is no coding: use zstd, br or gzip",
                        quoted(name)
                    ));
                }
                Some(coding) if compression.codings.contains(&coding) => {
                    return wrong(format!("names {name} a second time: leave it out"));
                }
                Some(coding) => compression.codings.push(coding),
            }
        }
        if compression.codings.is_empty() {
            let what = "offers nothing: name zstd, br or gzip, or write `off = [\"compression\"]`";
            return Err(scope.error(&["codings"], what));
        }
    }
    if let Some(min_length) = raw.min_length {
        compression.min_length = min_length.0;
    }
    if let Some(types) = raw.types {
        if types.0.is_empty() || types.0.len() > TYPES_MAX {
            let what = format!("must name at least one type and at most {TYPES_MAX}");
            return Err(scope.error(&["types"], what));
        }
        let types = types.0.iter().enumerate().map(|(at, text)| {
            TypePattern::try_from(text.as_str())
                .map_err(|error| scope.error(&["types", &at.to_string()], error))
        });
        compression.types = types.collect::<Result<_, _>>()?;
    }
    Ok(compression)
}
