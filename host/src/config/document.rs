//! A configuration file as text: read within bounds, decoded, and asked for the line of any key.

mod index;
mod words;

use std::cell::OnceCell;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::de::DeserializeOwned;
use skep_policy::quote::quoted;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error, ValueDeserializer};

use self::index::Index;
use self::words::{UnknownKey, dotted, plain};
use super::error::{ConfigError, Place};
use super::service::absolute;

/// Largest configuration file, in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest path that a file may name, in bytes: as long as the system takes.
pub(super) const PATH_BYTES_MAX: usize = 4096;

/// One configuration file.
#[derive(Debug)]
pub(super) struct Document {
    path: PathBuf,
    text: String,
    /// Whether it came over the network: then it may name no file of the host.
    is_sent: bool,
    /// Made when the first error asks for it.
    index: OnceCell<Index>,
}

/// A table of a document, by the keys that lead to it (an array's items by their index): errors about keys
/// in it find their line.
#[derive(Debug, Clone)]
pub(super) struct Scope<'d> {
    document: &'d Document,
    keys: Vec<String>,
}

impl Document {
    /// Reads a file of at most [`FILE_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// If the file is missing, can't be read, is too large or isn't UTF-8.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let fail = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => ConfigError::Missing {
                path: path.to_owned(),
                fix: "create the file, or correct its path".to_owned(),
            },
            _ => ConfigError::Read {
                path: path.to_owned(),
                source,
            },
        };
        // Opening a pipe would wait for a writer.
        if !fs::metadata(path).map_err(fail)?.is_file() {
            return Err(fail(io::Error::other("not a regular file")));
        }
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(fail)?;
        Self::from_bytes(path, bytes)
    }

    /// Takes `bytes` for the contents of `path`.
    ///
    /// # Errors
    /// If they are too many or not UTF-8.
    pub(super) fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, ConfigError> {
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge {
                path: path.to_owned(),
                max: FILE_BYTES_MAX,
            });
        }
        let text = String::from_utf8(bytes).map_err(|error| ConfigError::NotUtf8 {
            at: Place {
                path: path.to_owned(),
                line: Some(line(error.as_bytes(), error.utf8_error().valid_up_to())),
            },
        })?;
        Ok(Self {
            path: path.to_owned(),
            text,
            is_sent: false,
            index: OnceCell::new(),
        })
    }

    /// The same as somebody else wrote it.
    pub(super) fn sent(self) -> Self {
        Self {
            is_sent: true,
            ..self
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The folder that relative paths in the file start from.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The whole document as a scope.
    pub(super) fn root(&self) -> Scope<'_> {
        Scope {
            document: self,
            keys: Vec::new(),
        }
    }

    /// Decodes the whole document.
    ///
    /// # Errors
    /// With the line of a syntax error, an unknown key or a value of a wrong type.
    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let table = self.table()?;
        T::deserialize(Deserializer::from(table)).map_err(|error| self.decode_error(&error))
    }

    /// Decodes each item of the array of tables under `key`; one that can't be read spoils no other.
    ///
    /// # Errors
    /// If the document isn't TOML.
    pub(super) fn decode_each<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Vec<Result<T, ConfigError>>, ConfigError> {
        let items = self
            .table()?
            .into_inner()
            .into_iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(_, value)| value.into_inner());
        let Some(DeValue::Array(items)) = items else {
            return Ok(Vec::new());
        };
        let decode = |item| {
            T::deserialize(ValueDeserializer::from(item)).map_err(|error| self.decode_error(&error))
        };
        Ok(items.into_iter().map(decode).collect())
    }

    fn table(&self) -> Result<Spanned<DeTable<'_>>, ConfigError> {
        DeTable::parse(&self.text).map_err(|error| self.syntax_error(&error))
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| match self.table() {
            Ok(table) => Index::of(table.get_ref()),
            Err(_) => Index::default(),
        })
    }

    fn error(&self, at: Option<usize>, what: String) -> ConfigError {
        ConfigError::Invalid {
            at: Place {
                path: self.path.clone(),
                line: at.map(|offset| line(self.text.as_bytes(), offset)),
            },
            what,
        }
    }

    fn syntax_error(&self, error: &Error) -> ConfigError {
        let at = error.span().map(|span| span.start);
        self.error(at, format!("not valid TOML: {}", error.message().trim()))
    }

    fn decode_error(&self, error: &Error) -> ConfigError {
        let at = error.span().map(|span| span.start);
        let keys = at.and_then(|at| self.index().keys(at)).unwrap_or_default();
        let mut what = match UnknownKey::read(error.message()) {
            Some(unknown) => unknown.explain(keys.split_last().map_or(&[], |(_, above)| above)),
            None if keys.is_empty() => plain(error.message()),
            None => format!("{}: {}", dotted(keys), plain(error.message())),
        };
        if error
            .message()
            .starts_with("invalid type: map, expected a sequence")
        {
            what.push_str("; for an array of tables write [[double brackets]]");
        }
        self.error(at, what)
    }
}

impl<'d> Scope<'d> {
    /// The document.
    pub(super) fn document(&self) -> &'d Document {
        self.document
    }

    /// The scope of what `keys` lead to from here.
    pub(super) fn below(&self, keys: &[&str]) -> Self {
        let mut all = self.keys.clone();
        all.extend(keys.iter().map(|key| (*key).to_owned()));
        Self {
            document: self.document,
            keys: all,
        }
    }

    /// Where `keys` lead to, or the nearest place above that is there.
    pub(super) fn place(&self, keys: &[&str]) -> Place {
        let scope = self.below(keys);
        Place {
            path: self.document.path.clone(),
            line: self
                .document
                .index()
                .offset(&scope.keys)
                .map(|offset| line(self.document.text.as_bytes(), offset)),
        }
    }

    /// A file beside the document, or in a folder there, that `keys` name.
    ///
    /// # Errors
    /// When it lies elsewhere, or the document is not one of the host's.
    pub(super) fn file_beside(&self, keys: &[&str], file: &str) -> Result<PathBuf, ConfigError> {
        if self.document.is_sent {
            let what = "is not for a configuration that is sent, since it is a file of the host";
            return Err(self.error(keys, what));
        }
        if file.is_empty() || file.len() > PATH_BYTES_MAX || file.contains('\0') {
            return Err(self.error(keys, "is no path: name a file"));
        }
        let relative = Path::new(file);
        let goes_up = relative
            .components()
            .any(|part| part == Component::ParentDir);
        if goes_up || relative.is_absolute() {
            let what = format!(
                "{} leaves the manifest's folder: put the file beside the manifest",
                quoted(file)
            );
            return Err(self.error(keys, what));
        }
        absolute(&self.document.folder().join(relative))
    }

    /// An error about the value that `keys` lead to.
    pub(super) fn error(&self, keys: &[&str], what: impl std::fmt::Display) -> ConfigError {
        let scope = self.below(keys);
        ConfigError::Invalid {
            at: self.place(keys),
            what: match scope.keys.is_empty() {
                true => what.to_string(),
                false => format!("{}: {what}", dotted(&scope.keys)),
            },
        }
    }
}

fn line(text: &[u8], offset: usize) -> usize {
    let before = &text[..offset.min(text.len())];
    before.iter().filter(|b| **b == b'\n').count() + 1
}
