//! The database: SQLite, one connection, every commit synced.
//!
//! A file that is there has its tables: it is made under another name and moved into place. So an empty one is damage.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, params};

use super::error::StateError;
use super::record::{
    Audit, Commit, Event, Kind, Origin, StoredRevision, StoredRollout, StoredService,
};
use crate::deploy::compile::Digest;

const NAME: &str = "skep.db";
const WAL: &str = "skep.db-wal";
const WAL_INDEX: &str = "skep.db-shm";
const NEW_NAME: &str = ".tmp-skep.db";
const NEW_JOURNAL: &str = ".tmp-skep.db-journal";
/// "Skep": says whose database it is.
const APPLICATION_ID: i32 = 0x536b_6570;
/// The tables' format.
const FORMAT: i32 = 2;
const EVENTS_MAX: u32 = 10_000;
const EVENTS_OF_SERVICE_MAX: u32 = 500;
const AUDIT_MAX: u32 = 10_000;

const TABLES: &str = include_str!("tables.sql");

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    connection: Connection,
}

impl Database {
    pub(super) fn open(folder: &Path) -> Result<Self, StateError> {
        let path = folder.join(NAME);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(folder, &path)?,
            Err(source) => return Err(StateError::file(&path, source)),
            Ok(metadata) if metadata.len() == 0 => return Err(damaged(&path, "it is empty")),
            Ok(_) => {}
        }
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .map_err(|error| unusable(&path, error))?;
        let database = Self { path, connection };
        let found = database.check()?;
        database
            .prepare()
            .and_then(|()| database.bring_up_from(found))
            .map_err(|error| unusable(&database.path, error))?;
        Ok(database)
    }

    /// Whether it is ours and whole; its format.
    fn check(&self) -> Result<i32, StateError> {
        let fail = |error| unusable(&self.path, error);
        let pragma = |name: &str| -> Result<i32, StateError> {
            self.connection
                .pragma_query_value(None, name, |row| row.get(0))
                .map_err(fail)
        };
        if pragma("application_id")? != APPLICATION_ID {
            let path = self.path.clone();
            return Err(StateError::Foreign { path });
        }
        let found = pragma("user_version")?;
        if found > FORMAT {
            return Err(StateError::Newer {
                path: self.path.clone(),
                found,
                known: FORMAT,
            });
        }
        let verdict: String = self
            .connection
            .pragma_query_value(None, "quick_check", |row| row.get(0))
            .map_err(fail)?;
        match verdict.as_str() {
            "ok" => Ok(found),
            detail => Err(damaged(&self.path, detail)),
        }
    }

    /// What an older host left, as this one has it. Of what format 1 kept, all may have been running.
    fn bring_up_from(&self, found: i32) -> rusqlite::Result<()> {
        if found >= FORMAT {
            return Ok(());
        }
        let steps = format!(
            "BEGIN; ALTER TABLE revisions ADD COLUMN has_run INTEGER NOT NULL DEFAULT 0;
             UPDATE revisions SET has_run = 1; PRAGMA user_version = {FORMAT}; COMMIT;"
        );
        self.connection.execute_batch(&steps)
    }

    fn prepare(&self) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "journal_mode", "WAL")?;
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        // Whoever reads it with SQLite's own tools does not make a commit fail.
        self.connection
            .busy_timeout(std::time::Duration::from_secs(5))
    }

    /// Puts all that was committed into the database's own file, which can then be copied and put back by itself.
    pub(super) fn settle(&self) -> Result<(), StateError> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|error| unusable(&self.path, error))
    }

    pub(super) fn services(&self) -> Result<Vec<StoredService>, StateError> {
        let sql = "SELECT name, current, candidate, rollout, last_number, generation, files FROM services ORDER BY name";
        self.rows(sql, [], service)
    }

    pub(super) fn revision(
        &self,
        service: &str,
        number: u64,
    ) -> Result<Option<StoredRevision>, StateError> {
        let sql =
            "SELECT digest, config, actor, source FROM revisions WHERE service = ? AND number = ?";
        let columns = |row: &Row<'_>| {
            let digest: Digest = parsed(row, 0)?;
            let config: String = row.get(1)?;
            let origin = Origin {
                actor: row.get(2)?,
                source: row.get(3)?,
            };
            Ok((digest, config, origin))
        };
        let found = self
            .connection
            .query_row(sql, params![service, number], columns)
            .optional()
            .map_err(|error| unusable(&self.path, error))?;
        let Some((digest, config, origin)) = found else {
            return Ok(None);
        };
        let config = serde_json::from_str(&config).map_err(|source| StateError::Record {
            service: service.to_owned(),
            number,
            source,
        })?;
        Ok(Some(StoredRevision {
            number,
            digest,
            config,
            origin,
        }))
    }

    pub(super) fn kept(&self, service: &str) -> Result<Vec<u64>, StateError> {
        let sql = "SELECT number FROM revisions WHERE service = ? ORDER BY number DESC";
        self.rows(sql, [service], |row| row.get(0))
    }

    /// Those of the kept revisions that have been a service's running one.
    pub(super) fn ran(&self, service: &str) -> Result<Vec<u64>, StateError> {
        let sql =
            "SELECT number FROM revisions WHERE service = ? AND has_run = 1 ORDER BY number DESC";
        self.rows(sql, [service], |row| row.get(0))
    }

    pub(super) fn revisions(&self, service: &str) -> Result<Vec<(u64, Digest)>, StateError> {
        let sql = "SELECT number, digest FROM revisions WHERE service = ? ORDER BY number DESC";
        self.rows(sql, [service], |row| Ok((row.get(0)?, parsed(row, 1)?)))
    }

    /// Of all kept revisions.
    pub(super) fn digests(&self) -> Result<BTreeSet<Digest>, StateError> {
        let rows = self.rows("SELECT DISTINCT digest FROM revisions", [], |row| {
            parsed(row, 0)
        })?;
        Ok(rows.into_iter().collect())
    }

    pub(super) fn commit(&mut self, commit: Commit) -> Result<Vec<Event>, StateError> {
        let path = &self.path;
        let written = self.connection.transaction().and_then(|transaction| {
            let events = write(&transaction, commit)?;
            transaction.commit()?;
            Ok(events)
        });
        written.map_err(|error| unusable(path, error))
    }

    pub(super) fn events(
        &self,
        service: Option<&str>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Event>, StateError> {
        let sql = "SELECT id, at_unix_ms, service, kind, revision, digest, actor, source, detail FROM events
                   WHERE (?1 IS NULL OR service = ?1) AND (?2 IS NULL OR id > ?2) ORDER BY id DESC LIMIT ?3";
        self.rows(sql, params![service, after, limit], event)
    }

    pub(super) fn audit(&mut self, entry: &Audit) -> Result<(), StateError> {
        let path = &self.path;
        let write = |connection: &Connection| {
            let sql = "INSERT INTO audit (at_unix_ms, actor, method, path, status) VALUES (?, ?, ?, ?, ?)";
            let at = entry.at_unix_ms;
            connection.execute(
                sql,
                params![at, entry.actor, entry.method, entry.path, entry.status],
            )?;
            let sql = "DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?";
            connection.execute(sql, [AUDIT_MAX])
        };
        write(&self.connection)
            .map(drop)
            .map_err(|error| unusable(path, error))
    }

    pub(super) fn audited(&self, limit: u32) -> Result<Vec<Audit>, StateError> {
        let sql =
            "SELECT at_unix_ms, actor, method, path, status FROM audit ORDER BY id DESC LIMIT ?";
        self.rows(sql, [limit], |row| {
            Ok(Audit {
                at_unix_ms: row.get(0)?,
                actor: row.get(1)?,
                method: row.get(2)?,
                path: row.get(3)?,
                status: row.get(4)?,
            })
        })
    }

    fn rows<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StateError> {
        let all = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement
                .query_map(parameters, read)?
                .collect::<rusqlite::Result<Vec<T>>>()
        };
        all().map_err(|error| unusable(&self.path, error))
    }
}

/// A database with empty tables. Killed on the way, it leaves nothing that is taken for one.
fn make(folder: &Path, path: &Path) -> Result<(), StateError> {
    let new = folder.join(NEW_NAME);
    let fail = |source| StateError::file(&new, source);
    // What SQLite keeps beside a database that was killed, and would take for this one's.
    for leftover in [NEW_NAME, NEW_JOURNAL, WAL, WAL_INDEX] {
        match fs::remove_file(folder.join(leftover)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(fail)?;
    let fill = || {
        let connection = Connection::open_with_flags(&new, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.execute_batch(TABLES)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        connection.pragma_update(None, "user_version", FORMAT)?;
        connection.close().map_err(|(_, error)| error)
    };
    fill().map_err(StateError::Database)?;
    let place = || {
        File::open(&new)?.sync_all()?;
        fs::rename(&new, path)?;
        File::open(folder)?.sync_all()
    };
    place().map_err(fail)
}

fn write(transaction: &Transaction<'_>, commit: Commit) -> rusqlite::Result<Vec<Event>> {
    for (service, revision) in &commit.revisions {
        let config = serde_json::to_string(&revision.config)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let sql =
            "INSERT INTO revisions (service, number, digest, config, actor, source) VALUES (?, ?, ?, ?, ?, ?)
                   ON CONFLICT DO UPDATE SET digest = excluded.digest, config = excluded.config,
                   actor = excluded.actor, source = excluded.source";
        let Origin { actor, source } = &revision.origin;
        let digest = revision.digest.to_string();
        let values = params![
            service.as_str(),
            revision.number,
            digest,
            config,
            actor,
            source
        ];
        transaction.prepare_cached(sql)?.execute(values)?;
    }
    for (service, kept) in &commit.services {
        put(transaction, service)?;
        prune(transaction, service, *kept)?;
    }
    let mut events = Vec::new();
    for happening in commit.happenings {
        let mut event = Event::new(None, happening);
        let sql = "INSERT INTO events (at_unix_ms, service, kind, revision, digest, actor, source, detail)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let values = params![
            event.at_unix_ms,
            event.service,
            event.kind.as_str(),
            event.revision,
            event.digest,
            event.actor,
            event.source,
            event.detail
        ];
        transaction.prepare_cached(sql)?.execute(values)?;
        event.id = Some(transaction.last_insert_rowid());
        let sql = "DELETE FROM events WHERE service = ?1 AND id <=
                   (SELECT id FROM events WHERE service = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
        let values = params![event.service, EVENTS_OF_SERVICE_MAX];
        transaction.prepare_cached(sql)?.execute(values)?;
        events.push(event);
    }
    let sql = "DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?";
    transaction.prepare_cached(sql)?.execute([EVENTS_MAX])?;
    Ok(events)
}

fn put(transaction: &Transaction<'_>, service: &StoredService) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO services
               (name, current, candidate, rollout, last_number, generation, files) VALUES (?, ?, ?, ?, ?, ?, ?)";
    let rollout = service.rollout.as_ref();
    let values = params![
        service.name.as_str(),
        service.current,
        rollout.map(|rollout| rollout.candidate),
        rollout.map(|rollout| &rollout.saved),
        service.last_number,
        service.generation,
        service.files.map(|files| files.to_string())
    ];
    transaction.prepare_cached(sql)?.execute(values)?;
    let sql = "UPDATE revisions SET has_run = 1 WHERE service = ? AND number = ?";
    let values = params![service.name.as_str(), service.current];
    transaction.prepare_cached(sql)?.execute(values).map(drop)
}

/// Forgets the oldest revisions that don't answer.
fn prune(
    transaction: &Transaction<'_>,
    service: &StoredService,
    kept: usize,
) -> rusqlite::Result<()> {
    let sql = "DELETE FROM revisions WHERE service = ?1 AND number NOT IN (
                   SELECT number FROM revisions WHERE service = ?1
                   AND number IS NOT ?2 AND number IS NOT ?3 ORDER BY has_run DESC, number DESC LIMIT ?4
               ) AND number IS NOT ?2 AND number IS NOT ?3";
    let candidate = service.rollout.as_ref().map(|rollout| rollout.candidate);
    let kept = i64::try_from(kept).unwrap_or(i64::MAX);
    let values = params![service.name.as_str(), service.current, candidate, kept];
    transaction.prepare_cached(sql)?.execute(values).map(drop)
}

fn service(row: &Row<'_>) -> rusqlite::Result<StoredService> {
    let candidate: Option<u64> = row.get(2)?;
    let saved: Option<String> = row.get(3)?;
    let files: Option<String> = row.get(6)?;
    Ok(StoredService {
        name: parsed(row, 0)?,
        current: row.get(1)?,
        rollout: candidate
            .zip(saved)
            .map(|(candidate, saved)| StoredRollout { candidate, saved }),
        last_number: row.get(4)?,
        generation: row.get(5)?,
        files: files.map(|_| parsed(row, 6)).transpose()?,
    })
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let kind: String = row.get(3)?;
    let unknown = || conversion(3, format!("{kind:?} is no kind of event"));
    Ok(Event {
        id: row.get(0)?,
        at_unix_ms: row.get(1)?,
        service: row.get(2)?,
        kind: Kind::named(&kind).ok_or_else(unknown)?,
        revision: row.get(4)?,
        digest: row.get(5)?,
        actor: row.get(6)?,
        source: row.get(7)?,
        detail: row.get(8)?,
    })
}

/// A column of text that stands for something else.
fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: TryFrom<String, Error: std::fmt::Display>,
{
    let text: String = row.get(column)?;
    T::try_from(text).map_err(|error| conversion(column, error.to_string()))
}

fn conversion(column: usize, what: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, what.into())
}

fn damaged(path: &Path, detail: &str) -> StateError {
    StateError::Damaged {
        path: path.to_owned(),
        detail: detail.to_owned(),
    }
}

fn unusable(path: &Path, error: rusqlite::Error) -> StateError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            damaged(path, &error.to_string())
        }
        _ if matches!(error, rusqlite::Error::FromSqlConversionFailure(..)) => {
            damaged(path, &error.to_string())
        }
        _ => StateError::Database(error),
    }
}
