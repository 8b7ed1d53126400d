//! The keys' rows in SQLite.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use skep_policy::idempotency::{Known, State, Verdict, judge};

use super::{Done, End, Found, Id, Job, Kept, Looked, Request, now_unix_ms};

const TABLES: &str = include_str!("../keys.sql");
/// "SkKy": says whose database it is.
const APPLICATION_ID: i32 = 0x536b_4b79;
const KEYS_MAX: u64 = 1_000_000;
const MOST: Most = Most {
    keys: KEYS_MAX,
    keys_of_service: KEYS_MAX / 4,
    bytes: 1 << 30,
};
/// What a row takes beside its answer.
const ROW_BYTES: u64 = 256;
/// Rows that are forgotten at once.
const FORGOTTEN_MAX: u64 = 1_000;

/// Answers that are let go of at once where there is no room.
const SURPLUS_MAX: u64 = 16;

/// An open database.
pub(super) struct Table {
    connection: Connection,
    /// Of this host, among all that had the database.
    pub(super) life: u64,
    size: Size,
    /// What it may hold.
    pub(super) most: Most,
}

/// What the table may hold.
#[derive(Clone, Copy)]
pub(super) struct Most {
    /// Keys that are known at once.
    pub(super) keys: u64,
    /// Those of any one service, so that its clients leave others room.
    pub(super) keys_of_service: u64,
    /// Bytes of what is kept for all of them.
    pub(super) bytes: u64,
}

/// What the table holds.
#[derive(Default)]
struct Size {
    keys: u64,
    /// Of the services that have any.
    keys_of: HashMap<String, u64>,
    bytes: u64,
}

impl Size {
    fn add(&mut self, service: &str, keys: u64, bytes: u64) {
        self.keys += keys;
        self.bytes += bytes;
        match self.keys_of.get_mut(service) {
            Some(of_service) => *of_service += keys,
            None => drop(self.keys_of.insert(service.to_owned(), keys)),
        }
    }

    fn remove(&mut self, service: &str, bytes: u64) {
        self.keys = self.keys.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        match self.keys_of.get_mut(service) {
            Some(of_service) if *of_service > 1 => *of_service -= 1,
            _ => drop(self.keys_of.remove(service)),
        }
    }

    fn is_full(&self, service: &str, most: Most) -> bool {
        let of_service = self.keys_of.get(service).copied().unwrap_or(0);
        self.keys >= most.keys || of_service >= most.keys_of_service
    }
}

/// Counts what is there.
fn size(connection: &Connection) -> rusqlite::Result<Size> {
    let sql = "SELECT service, count(*), sum(bytes) FROM keys GROUP BY service";
    let (mut select, mut size) = (connection.prepare(sql)?, Size::default());
    let mut services = select.query([])?;
    while let Some(row) = services.next()? {
        size.add(row.get_ref(0)?.as_str()?, row.get(1)?, row.get(2)?);
    }
    Ok(size)
}

/// What an older host left, as this one has it: no service has the keys whose service was not written down.
fn bring_up(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT count(*) FROM pragma_table_info('keys') WHERE name = 'service'";
    if connection.query_row(sql, [], |row| row.get::<_, u64>(0))? > 0 {
        return Ok(());
    }
    connection.execute_batch("ALTER TABLE keys ADD COLUMN service TEXT NOT NULL DEFAULT ''")
}

impl Table {
    /// Opens the database, which is made if need be, for the host with this `life`, or a new one.
    pub(super) fn open(path: &Path, life: Option<u64>) -> rusqlite::Result<Self> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        let write = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        write.pragma_update(None, "application_id", APPLICATION_ID)?;
        write.execute_batch(TABLES)?;
        bring_up(&write)?;
        let last: Option<u64> = write
            .query_row("SELECT max(number) FROM life", [], |row| row.get(0))
            .optional()?
            .flatten();
        let life = life.unwrap_or(last.unwrap_or(0) + 1);
        write.execute("DELETE FROM life", [])?;
        write.execute("INSERT INTO life VALUES (?)", [life])?;
        let size = size(&write)?;
        write.commit()?;
        Ok(Self {
            connection,
            life,
            size,
            most: MOST,
        })
    }

    /// Does all or nothing of it; what came of each. After an error the table has to be opened again, since it counts what was not
    /// done.
    pub(super) fn at_once(&mut self, jobs: &[Job]) -> rusqlite::Result<Vec<Done>> {
        let now = now_unix_ms();
        let write = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut rows = Rows {
            write,
            life: self.life,
            size: &mut self.size,
            most: self.most,
        };
        let done = jobs.iter().map(|job| match job {
            Job::Begin(request, _) => rows.begin(request, now).map(Done::Looked),
            Job::Fetch(found, ..) => rows.kept(found).map(Done::Fetched),
            Job::End(id, end, _) => rows.end(id, end).map(|()| Done::Ended),
        });
        let done = done.collect::<rusqlite::Result<Vec<_>>>()?;
        rows.forget(now)?;
        rows.let_go()?;
        rows.write.commit()?;
        Ok(done)
    }
}

/// The rows while they are written.
struct Rows<'a> {
    write: Transaction<'a>,
    life: u64,
    size: &'a mut Size,
    most: Most,
}

impl Rows<'_> {
    fn begin(&mut self, request: &Request, now: u64) -> rusqlite::Result<Looked> {
        let known = self.known(&request.id)?;
        let verdict = judge(known.as_ref(), &request.fingerprint, self.life, now);
        match verdict {
            Verdict::Run => {}
            Verdict::Replay => return self.found(request).map(Looked::Answered),
            refused => return Ok(Looked::Refused(refused)),
        }
        self.delete(
            "DELETE FROM keys WHERE id = ? RETURNING service, bytes",
            [request.id],
        )?;
        let service = &*request.service;
        if self.size.is_full(service, self.most) {
            self.forget(now)?;
        }
        // To forget a key that has not expired would be to carry its request out twice.
        if self.size.is_full(service, self.most) {
            return Ok(Looked::Full);
        }
        let expiry = u64::try_from(request.expiry.as_millis()).unwrap_or(u64::MAX);
        let expires = now.saturating_add(expiry).min(i64::MAX as u64);
        let (id, fingerprint) = (request.id, request.fingerprint);
        self.write
            .prepare_cached(
                "INSERT INTO keys (id, service, fingerprint, expires, life, bytes) VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                id,
                service,
                fingerprint,
                expires,
                self.life,
                ROW_BYTES
            ])?;
        self.size.add(service, 1, ROW_BYTES);
        Ok(Looked::Begun)
    }

    fn end(&mut self, id: &Id, end: &End) -> rusqlite::Result<()> {
        let life = self.life;
        match end {
            End::Free => {
                let sql = "DELETE FROM keys WHERE id = ? AND life = ? RETURNING service, bytes";
                self.delete(sql, params![id, life])
            }
            End::Lost => {
                let sql = "UPDATE keys SET life = NULL WHERE id = ? AND life = ?";
                let mut update = self.write.prepare_cached(sql)?;
                update.execute(params![id, life]).map(drop)
            }
            End::Answered(kept) => {
                let more = (kept.headers.len() + kept.body.len()) as u64;
                let sql = "UPDATE keys SET life = NULL, status = ?, headers = ?, body = ?, bytes = bytes + ? \
                           WHERE id = ? AND life = ?";
                let values = params![
                    kept.status,
                    &kept.headers[..],
                    &kept.body[..],
                    more,
                    id,
                    life
                ];
                let updated = self.write.prepare_cached(sql)?.execute(values)?;
                if updated > 0 {
                    self.size.bytes += more;
                }
                Ok(())
            }
        }
    }

    fn known(&self, id: &Id) -> rusqlite::Result<Option<Known>> {
        let sql = "SELECT fingerprint, expires, life, status FROM keys WHERE id = ?";
        let known = |row: &Row<'_>| {
            let (life, status): (Option<u64>, Option<u16>) = (row.get(2)?, row.get(3)?);
            Ok(Known {
                fingerprint: row.get(0)?,
                expires: row.get(1)?,
                state: match (life, status) {
                    (Some(life), _) => State::Begun { life },
                    (None, Some(_)) => State::Answered,
                    (None, None) => State::Lost,
                },
            })
        };
        let mut select = self.write.prepare_cached(sql)?;
        select.query_row([id], known).optional()
    }

    /// The answer to a request; what it takes is known before any of it is in memory.
    fn found(&self, request: &Request) -> rusqlite::Result<Found> {
        let mut select = self
            .write
            .prepare_cached("SELECT bytes FROM keys WHERE id = ?")?;
        Ok(Found {
            id: request.id,
            fingerprint: request.fingerprint,
            bytes: select.query_row([request.id], |row| row.get(0))?,
        })
    }

    fn kept(&self, found: &Found) -> rusqlite::Result<Option<Kept>> {
        // Its key may have expired since, and be another request's, whose answer is longer.
        let sql = "SELECT status, headers, body FROM keys \
                   WHERE id = ? AND fingerprint = ? AND bytes = ? AND status IS NOT NULL";
        let mut select = self.write.prepare_cached(sql)?;
        let (id, fingerprint) = (found.id, found.fingerprint);
        let kept = select.query_row(params![id, fingerprint, found.bytes], |row| {
            let (headers, body): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?);
            Ok(Kept {
                status: row.get(0)?,
                headers: Bytes::from(headers),
                body: Bytes::from(body),
            })
        });
        kept.optional()
    }

    /// Forgets what has expired: never what is under way.
    fn forget(&mut self, now: u64) -> rusqlite::Result<()> {
        let life = self.life;
        let expired = "DELETE FROM keys WHERE rowid IN (SELECT rowid FROM keys \
                       WHERE expires <= ? AND life IS NOT ? ORDER BY expires LIMIT ?) \
                       RETURNING service, bytes";
        self.delete(expired, params![now, life, FORGOTTEN_MAX])
    }

    /// Lets go of the answers that expire first if there are too many bytes. Their keys are still known.
    fn let_go(&mut self) -> rusqlite::Result<()> {
        while self.size.bytes > self.most.bytes {
            let sql =
                "SELECT rowid, bytes FROM keys WHERE status IS NOT NULL ORDER BY expires LIMIT ?";
            let mut select = self.write.prepare_cached(sql)?;
            let first = select.query_map([SURPLUS_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let first = first.collect::<rusqlite::Result<Vec<(i64, u64)>>>()?;
            if first.is_empty() {
                break;
            }
            let sql = "UPDATE keys SET status = NULL, headers = NULL, body = NULL, bytes = ? WHERE rowid = ?";
            let mut update = self.write.prepare_cached(sql)?;
            for (row, bytes) in first {
                if self.size.bytes <= self.most.bytes {
                    break;
                }
                update.execute(params![ROW_BYTES, row])?;
                let gone = bytes.saturating_sub(ROW_BYTES);
                self.size.bytes = self.size.bytes.saturating_sub(gone);
            }
            tracing::warn!(
                "more answers than there is room for: those that expire first are not kept, and their keys in doubt"
            );
        }
        Ok(())
    }

    /// Runs a deletion that returns whose each row was, and what it took.
    fn delete(&mut self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<()> {
        let mut delete = self.write.prepare_cached(sql)?;
        let mut gone = delete.query(values)?;
        while let Some(row) = gone.next()? {
            self.size.remove(row.get_ref(0)?.as_str()?, row.get(1)?);
        }
        Ok(())
    }
}
