//! What a guest's store holds on the host's side, and the limits on it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use wasmtime::component::{GuestTaskId, ResourceTable, Val};
use wasmtime::{AsContextMut, ResourceLimiter, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::meter::{Meter, Tick};
use crate::capability::egress::Egress;
use crate::capability::functions::Import;
use crate::fault::Fault;
use crate::replay::told::Told;
use crate::request::call::Errand;
use crate::telemetry::traffic::Held;

/// Host resources (bodies, headers, pollables, streams) that an instance may hold at once.
const RESOURCES_MAX: usize = 1024;
/// Bytes of one set of headers that a guest makes.
const FIELDS_BYTES_MAX: usize = 32 << 10;
/// Streams, futures and tasks of the async component model that an instance may hold at once.
const CONCURRENT_STATE_MAX: usize = 64 << 10;
/// Bytes that a guest may hand over in one call of a host function.
const HOSTCALL_BYTES_MAX: usize = 256 << 10;
/// Tasks of one instance whose errands are remembered.
const ERRANDS_MAX: usize = 256;
/// For how long after its answer a guest may call others.
const AFTERWARDS_MAX: Duration = Duration::from_secs(60);
/// Epoch ticks after which a computing guest is looked at: the second tick is at least one whole tick away.
const TICKS_BETWEEN_LOOKS: u64 = 2;

/// What a guest does in one of its tasks.
struct Underway {
    task: GuestTaskId,
    errand: Arc<Errand>,
    answered: Option<Instant>,
}

/// The data of a guest's store.
pub struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    egress: Egress,
    /// Of an instance that serves several requests at once: the guest's tasks, those that go on after their answers too.
    errands: VecDeque<Underway>,
    memory: MemoryLimit,
    meter: Arc<Meter>,
}

impl State {
    pub(crate) fn new(
        wasi: WasiCtx,
        egress: Egress,
        memory: MemoryLimit,
        meter: Arc<Meter>,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELDS_BYTES_MAX);
        Self {
            wasi,
            http,
            table,
            egress,
            errands: VecDeque::new(),
            memory,
            meter,
        }
    }

    /// From now on what the guest sends it sends on this errand.
    pub(crate) fn works_on(&mut self, errand: Option<Arc<Errand>>) {
        self.egress.errand = errand;
        self.egress.has_sent = false;
    }

    /// What the guest asks others for is noted, or answered as it was.
    pub(crate) fn is_told(&mut self, told: Option<Told>) {
        self.egress.told = told;
    }

    /// Whether the guest has sent anything, to anyone, for the requests that it works on.
    pub(crate) fn has_sent(&self) -> bool {
        self.egress.has_sent
    }

    /// What the guest sends in this task it sends on this errand.
    pub(crate) fn works_on_in(&mut self, task: GuestTaskId, errand: Option<Arc<Errand>>) {
        let Some(errand) = errand else { return };
        self.errands.retain(|other| {
            other
                .answered
                .is_none_or(|since| since.elapsed() < AFTERWARDS_MAX)
        });
        if self.errands.len() == ERRANDS_MAX {
            let answered = self
                .errands
                .iter()
                .position(|other| other.answered.is_some());
            self.errands.remove(answered.unwrap_or(0));
        }
        self.errands.push_back(Underway {
            task,
            errand,
            answered: None,
        });
    }

    /// The answer that the guest gave in this task is out; it may go on.
    pub(crate) fn has_answered(&mut self, task: GuestTaskId) {
        let mut newest_first = self.errands.iter_mut().rev();
        if let Some(underway) = newest_first.find(|other| other.task == task) {
            underway.answered = Some(Instant::now());
        }
    }

    /// Notes for which of its requests the guest is about to send something. To be called where it is about to.
    pub(crate) fn note_caller(store: &mut StoreContextMut<'_, Self>) {
        // Without tasks it works on one request at a time.
        if store.engine().get_concurrency_support() {
            // The oldest of them is the one that the host has called.
            let task = store.async_call_stack().ok().and_then(Iterator::last);
            store.data_mut().is_in(task);
        }
    }

    /// Calls a function of another service.
    ///
    /// # Errors
    /// When nobody provides it.
    pub(crate) fn invoke(
        &mut self,
        import: &Import,
        arguments: &[Val],
    ) -> Result<impl Future<Output = Result<http::Response<WasiBody>, Fault>> + Send + use<>, Fault>
    {
        self.egress.invoke(import, arguments)
    }

    /// The guest is about to send something in this task.
    fn is_in(&mut self, task: Option<GuestTaskId>) {
        // The newest: ids of tasks that are over are used again.
        let mut newest_first = self.errands.iter().rev();
        let found = newest_first.find(|other| Some(other.task) == task);
        self.egress.errand = found.map(|underway| underway.errand.clone());
        self.egress.forgets_errand = true;
    }

    /// Whether the guest was refused memory.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        self.memory.refused.load(Relaxed)
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.egress,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

/// A store whose guest is limited in memory, CPU time and host resources.
pub(crate) fn limited_store(engine: &wasmtime::Engine, state: State) -> Store<State> {
    let concurrent = engine.get_concurrency_support();
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
    store.epoch_deadline_callback(move |mut store| look(&mut store, concurrent));
    rearm(&mut store);
    store
}

/// Gives a guest that is about to be called its first slice.
pub(crate) fn rearm(mut store: impl AsContextMut) {
    store
        .as_context_mut()
        .set_epoch_deadline(TICKS_BETWEEN_LOOKS);
}

fn look(
    store: &mut StoreContextMut<'_, State>,
    concurrent: bool,
) -> wasmtime::Result<UpdateDeadline> {
    if concurrent && store.concurrent_state_table_size() > CONCURRENT_STATE_MAX {
        store.data().memory.refused.store(true, Relaxed);
        wasmtime::bail!(
            "the guest holds more than {CONCURRENT_STATE_MAX} streams, futures and tasks"
        );
    }
    Ok(match store.data().meter.tick() {
        Tick::Continue => UpdateDeadline::Continue(TICKS_BETWEEN_LOOKS),
        Tick::LookAgain => UpdateDeadline::Continue(1),
        Tick::Yield => UpdateDeadline::Yield(TICKS_BETWEEN_LOOKS),
        Tick::Stop => UpdateDeadline::Interrupt,
    })
}

/// Linear memories and tables of one instance, counted together.
pub(crate) struct MemoryLimit {
    limit: usize,
    used: usize,
    /// The most of any of the revision's instances.
    peak: Arc<AtomicU64>,
    /// Of linear memories alone.
    held: Held,
    /// By how much a memory grows that was just allowed to; Wasmtime may find that it can't.
    newest: usize,
    refused: AtomicBool,
}

impl MemoryLimit {
    pub(super) fn new(limit: u64, peak: Arc<AtomicU64>, held: Held) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            used: 0,
            peak,
            held,
            newest: 0,
            refused: AtomicBool::new(false),
        }
    }

    fn grow(&mut self, by: usize) -> bool {
        let fits = self
            .used
            .checked_add(by)
            .is_some_and(|sum| sum <= self.limit);
        if fits {
            self.used += by;
            self.peak.fetch_max(self.used as u64, Relaxed);
        } else {
            self.refused.store(true, Relaxed);
        }
        fits
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let by = desired.saturating_sub(current);
        let fits = self.grow(by);
        self.newest = if fits { by } else { 0 };
        self.held.add(self.newest as u64);
        Ok(fits)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        // It also fails without having been allowed to.
        let by = std::mem::take(&mut self.newest);
        self.used -= by;
        self.held.take_back(by as u64);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(
            desired
                .saturating_sub(current)
                .saturating_mul(size_of::<usize>()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limit = MemoryLimit::new(128 << 10, Arc::default(), Held::default());
        assert!(limit.memory_growing(0, 64 << 10, None).unwrap());
        assert!(limit.table_growing(0, 8 << 10, None).unwrap());
        assert!(!limit.refused.load(Relaxed));
        assert!(!limit.memory_growing(64 << 10, 128 << 10, None).unwrap());
        assert!(limit.refused.load(Relaxed));
    }

    #[test]
    fn memory_that_could_not_grow_is_not_held() {
        let sum = Arc::<AtomicU64>::default();
        let mut limit = MemoryLimit::new(128 << 10, Arc::default(), Held::in_sum(sum.clone()));
        let failed = || wasmtime::Error::msg("beyond the maximum");
        assert!(limit.memory_growing(0, 64 << 10, None).unwrap());
        assert!(limit.table_growing(0, 10, None).unwrap());
        assert_eq!(sum.load(Relaxed), 64 << 10);
        for _ in 0..3 {
            assert!(limit.memory_growing(64 << 10, 96 << 10, None).unwrap());
            limit.memory_grow_failed(failed()).unwrap();
            limit.memory_grow_failed(failed()).unwrap();
        }
        assert_eq!(sum.load(Relaxed), 64 << 10);
        drop(limit);
        assert_eq!(sum.load(Relaxed), 0);
    }
}
