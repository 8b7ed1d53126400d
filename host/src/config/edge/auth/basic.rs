//! Users and their passwords.

use skep_policy::identity::is_fit;
use skep_policy::quote::quoted;

use super::{Basic, PasswordHash, Users};
use crate::config::document::Scope;
use crate::config::error::ConfigError;
use crate::config::raw::RawBasic;

const USERS_MAX: usize = 10_000;
const NAME_BYTES_MAX: usize = 256;
/// Rounds are two to the power of these: from what bcrypt can, to what takes a second or so.
const COSTS: std::ops::RangeInclusive<u32> = 4..=14;
const HASH_CHARS: usize = 60;

pub(super) fn resolve(raw: RawBasic, scope: &Scope<'_>) -> Result<Basic, ConfigError> {
    match (raw.users, raw.file) {
        (Some(_), Some(_)) => {
            Err(scope.error(&["file"], "is given beside users: leave out one of them"))
        }
        (None, None) => {
            let what = "lets nobody in: add `file = \"users.htpasswd\"`, made by `htpasswd -B`, or `users`";
            Err(scope.error(&[], what))
        }
        (None, Some(file)) => {
            let path = scope.file_beside(&["file"], &file)?;
            if !path.is_file() {
                let fix = "make it with `htpasswd -cB FILE USER`, or correct file".to_owned();
                return Err(ConfigError::Missing { path, fix });
            }
            Ok(Basic::File(path))
        }
        (Some(listed), None) => {
            let mut users = Users::new();
            if listed.len() > USERS_MAX {
                let what = format!("lists more than {USERS_MAX} users");
                return Err(scope.error(&["users"], what));
            }
            for (name, hash) in listed {
                let user = user(&name, &hash);
                let user = user.map_err(|what| scope.error(&["users", &name], what))?;
                users.insert(name, user);
            }
            Ok(Basic::Listed(users))
        }
    }
}

fn user(name: &str, hash: &str) -> Result<PasswordHash, String> {
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(':') && is_fit(name);
    if !is_name {
        return Err(format!(
            "{} is no user's name: it has no colons, no control characters and no white space at an end",
            quoted(name)
        ));
    }
    password_hash(hash).ok_or_else(|| {
        let (least, most) = (COSTS.start(), COSTS.end());
        format!(
            "must have a bcrypt hash with a cost of {least} to {most}, as `htpasswd -nB USER` makes it"
        )
    })
}

/// `$2y$10$` and 53 characters.
fn password_hash(text: &str) -> Option<PasswordHash> {
    let rest = ["$2a$", "$2b$", "$2y$"]
        .into_iter()
        .find_map(|start| text.strip_prefix(start))?;
    let (cost, rest) = rest.split_once('$')?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
    let is_cost = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = text.len() == HASH_CHARS && is_cost && rest.bytes().all(is_plain);
    let cost = cost.parse().ok().filter(|cost| COSTS.contains(cost))?;
    let readable = is_whole && text.parse::<bcrypt::HashParts>().is_ok();
    readable.then(|| PasswordHash {
        hash: text.to_owned(),
        cost,
    })
}

/// Reads a file of lines `USER:HASH`; empty ones and those that begin with `#` are none.
///
/// # Errors
/// What is wrong and in which line; nothing of the line.
pub(crate) fn htpasswd(text: &str) -> Result<Users, String> {
    let mut users = Users::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = at + 1;
        let Some((name, hash)) = line.split_once(':') else {
            return Err(format!("line {number} is not USER:HASH"));
        };
        let user = user(name, hash).map_err(|what| format!("line {number}: {what}"))?;
        if users.insert(name.to_owned(), user).is_some() {
            return Err(format!("line {number} has a user who is there already"));
        }
        if users.len() > USERS_MAX {
            return Err(format!("more than {USERS_MAX} users"));
        }
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$04$ABCDEFGHIJKLMNOPQRSTUubY4DL0lJbcKaa2Z83D6.D9E4MzIeKxC";

    #[test]
    fn a_file_has_bcrypt_lines_alone() {
        let text = format!(
            "# users\n\nalice:{HASH}\r\nbob é:{}\n",
            HASH.replace("2y", "2b")
        );
        let users = htpasswd(&text).unwrap();
        assert_eq!(users.keys().collect::<Vec<_>>(), ["alice", "bob é"]);
        assert_eq!(users["alice"].cost, 4);
        assert!(!format!("{users:?}").contains("2y"));
        assert_eq!(htpasswd("").unwrap(), Users::new());
        for (text, line) in [
            ("alice".to_owned(), "line 1"),
            (format!("a:{HASH}\n:{HASH}"), "line 2"),
            (format!("a:{HASH}\na:{HASH}"), "line 2"),
            ("a:{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=".to_owned(), "line 1"),
            (
                "a:$apr1$abcdefgh$0123456789012345678901".to_owned(),
                "line 1",
            ),
            ("a:secret".to_owned(), "line 1"),
            (format!("a:{HASH}x"), "line 1"),
            (format!("a:{}", HASH.replace("$04$", "$03$")), "line 1"),
            (format!("a:{}", HASH.replace("$04$", "$31$")), "line 1"),
            (format!("a:{}", HASH.replace("$04$", "$+4$")), "line 1"),
            (format!("a:{}", HASH.replace('Z', "é")), "line 1"),
            (format!("a\0:{HASH}"), "line 1"),
            (format!("admin :{HASH}"), "line 1"),
            (format!("a:{HASH}\n admin:{HASH}"), "line 2"),
        ] {
            let error = htpasswd(&text).unwrap_err();
            assert!(error.starts_with(line), "{text}: {error}");
            assert!(
                !error.contains("secret") && !error.contains(&HASH[7..]),
                "{error}"
            );
        }
    }
}
