//! Wasmtime engines, linkers and the epoch clock.
//!
//! Two engines share one process: components of wasi:http 0.2 and commands run without the async component
//! model's per-store machinery, components of wasi:http 0.3 need it. Settings that change generated code live in
//! [`compile_config`] alone, so that the child that compiles and the host that loads can't disagree.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use self::clock::Clock;
use crate::capability::client;
use crate::config::Pool;
use crate::request::run::state::State;

pub(crate) mod clock;

/// How often the epoch advances: the longest that a guest computes before the host looks at it.
pub const EPOCH_TICK: Duration = Duration::from_millis(1);

// What one claim on the pool (see `Engines::claims`) is worth in each of Wasmtime's pools.
const MEMORIES_PER_CLAIM: u32 = 2;
const TABLES_PER_CLAIM: u32 = 4;
const CORE_INSTANCES_PER_CLAIM: u32 = 8;
/// A component that needs more claims than this for one instance is refused.
pub(crate) const CLAIMS_PER_INSTANCE_MAX: u32 = 8;
/// Candidates that may be probed at a time, outside every service's share of the pool.
pub(crate) const PROBES_MAX: u32 = 8;
/// Recorded requests that may be replayed at a time, likewise.
pub(crate) const REPLAYS_MAX: u32 = 4;
const TABLE_ELEMENTS_MAX: usize = 100_000;
const CORE_INSTANCE_BYTES_MAX: usize = 4 << 20;
/// Stacks a claim: an instance of the async component model may suspend several calls at once.
const STACKS_PER_CLAIM: u32 = 4;

// Bytes that stay resident in a pool slot between two tenants; they are zeroed by hand, the rest by the kernel. Native
// stacks are not zeroed: no instruction of a guest reads what it has not written there.
const MEMORY_KEEP_RESIDENT: usize = 512 << 10;
const TABLE_KEEP_RESIDENT: usize = 64 << 10;
/// Wasmtime's own default.
const WARM_SLOTS_MIN: u32 = 100;

/// Which engine an artifact needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// wasi:http 0.2 and wasi:cli commands: one call at a time in a store.
    Sync,
    /// wasi:http 0.3: several calls at a time in a store.
    Concurrent,
}

/// The settings that decide what code is generated, and nothing about how it is run.
pub fn compile_config(kind: Kind) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.wasm_component_model(true);
    config.wasm_component_model_async(kind == Kind::Concurrent);
    config.concurrency_support(kind == Kind::Concurrent);
    config.memory_reservation(4 << 30);
    config.memory_guard_size(32 << 20);
    config.memory_may_move(false);
    config
}

/// Identifies the engine's settings and Wasmtime's version: two artifacts compiled under the same fingerprint are
/// interchangeable. 16 hexadecimal digits.
///
/// # Errors
/// When this machine can't be compiled for.
pub fn fingerprint(kind: Kind) -> wasmtime::Result<String> {
    let engine = Engine::new(&compile_config(kind))?;
    Ok(fingerprint_of(&engine))
}

fn fingerprint_of(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The engines that run guests, with what they may import.
pub struct Engines {
    sync: Engine,
    concurrent: Engine,
    sync_linker: Linker<State>,
    concurrent_linker: Linker<State>,
    pub(crate) clock: Clock,
}

impl Engines {
    /// Reserves the pools and starts the thread that advances the epoch.
    ///
    /// # Errors
    /// When the address space for the pools can't be reserved.
    pub fn new(pool: &Pool) -> wasmtime::Result<Self> {
        let pagemap_scan = swap_is_absent();
        tracing::info!(
            instances = pool.instances,
            pagemap_scan,
            warm_slots = warm_slots(claims_of(pool), mappings_max()),
            "instance pools reserved"
        );
        let sync = Engine::new(&run_config(Kind::Sync, pool, pagemap_scan))?;
        let concurrent = Engine::new(&run_config(Kind::Concurrent, pool, pagemap_scan))?;
        let mut sync_linker = Linker::new(&sync);
        wasmtime_wasi::p2::add_to_linker_async(&mut sync_linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut sync_linker)?;
        let mut concurrent_linker = Linker::new(&concurrent);
        wasmtime_wasi::p2::add_to_linker_async(&mut concurrent_linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut concurrent_linker)?;
        wasmtime_wasi::p3::add_to_linker(&mut concurrent_linker)?;
        client::add_to_linker(&mut concurrent_linker)?;
        let clock = Clock::start(vec![sync.clone(), concurrent.clone()])?;
        Ok(Self {
            sync,
            concurrent,
            sync_linker,
            concurrent_linker,
            clock,
        })
    }

    /// The engine for artifacts of `kind`.
    pub fn engine(&self, kind: Kind) -> &Engine {
        match kind {
            Kind::Sync => &self.sync,
            Kind::Concurrent => &self.concurrent,
        }
    }

    /// What guests of `kind` may import.
    pub(crate) fn linker(&self, kind: Kind) -> &Linker<State> {
        match kind {
            Kind::Sync => &self.sync_linker,
            Kind::Concurrent => &self.concurrent_linker,
        }
    }

    /// How many claims on the pool one instance of `component` takes, or why it can't be hosted.
    ///
    /// # Errors
    /// A sentence that says which limit the component passes.
    pub fn claims(component: &Component) -> Result<u32, String> {
        let Some(needs) = component.resources_required() else {
            return Err("it instantiates modules that are imported, which the host can't size; link them into the component".into());
        };
        let claims = needs
            .num_memories
            .div_ceil(MEMORIES_PER_CLAIM)
            .max(needs.num_tables.div_ceil(TABLES_PER_CLAIM))
            .max(1);
        if claims > CLAIMS_PER_INSTANCE_MAX {
            return Err(format!(
                "an instance needs {} memories and {} tables; the host gives at most {} and {}",
                needs.num_memories,
                needs.num_tables,
                MEMORIES_PER_CLAIM * CLAIMS_PER_INSTANCE_MAX,
                TABLES_PER_CLAIM * CLAIMS_PER_INSTANCE_MAX,
            ));
        }
        Ok(claims)
    }
}

/// The settings of an engine that runs guests: those of [`compile_config`], and the pools. With `pagemap_scan` the kernel says
/// which pages of a slot are dirty; see [`swap_is_absent`].
pub fn run_config(kind: Kind, pool: &Pool, pagemap_scan: bool) -> Config {
    let claims = claims_of(pool);
    let mut pooling = PoolingAllocationConfig::new();
    pooling
        .total_component_instances(claims)
        // A mere count: every instance may have as many as the largest.
        .total_core_instances(claims * CLAIMS_PER_INSTANCE_MAX * CORE_INSTANCES_PER_CLAIM)
        .total_memories(claims * MEMORIES_PER_CLAIM)
        .total_tables(claims * TABLES_PER_CLAIM)
        .total_stacks(
            claims
                * if kind == Kind::Concurrent {
                    STACKS_PER_CLAIM
                } else {
                    1
                },
        )
        .max_core_instances_per_component(CLAIMS_PER_INSTANCE_MAX * CORE_INSTANCES_PER_CLAIM)
        .max_memories_per_component(CLAIMS_PER_INSTANCE_MAX * MEMORIES_PER_CLAIM)
        .max_tables_per_component(CLAIMS_PER_INSTANCE_MAX * TABLES_PER_CLAIM)
        .max_memories_per_module(MEMORIES_PER_CLAIM)
        .max_tables_per_module(TABLES_PER_CLAIM)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_core_instance_size(CORE_INSTANCE_BYTES_MAX)
        .max_component_instance_size(CORE_INSTANCE_BYTES_MAX)
        .max_memory_size(usize::try_from(pool.memory_max).unwrap_or(usize::MAX))
        .max_unused_warm_slots(warm_slots(claims, mappings_max()))
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        .pagemap_scan(if pagemap_scan {
            Enabled::Auto
        } else {
            Enabled::No
        });
    let mut config = compile_config(kind);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
    config
}

/// What Wasmtime's pools are made for: probes and replays run beside what the services have claimed.
fn claims_of(pool: &Pool) -> u32 {
    pool.instances + (PROBES_MAX + REPLAYS_MAX) * CLAIMS_PER_INSTANCE_MAX
}

/// Mappings that a pool slot takes from its first use on.
const MAPPINGS_PER_SLOT: u32 = 3;

/// How many slots keep, while they are unused, the component that they held last. It is made ready there sooner than
/// another, which takes changes to the address space that all threads wait for. Wasmtime divides them among the threads
/// that start instances. Bounded by the `mappings` that the process may have.
fn warm_slots(claims: u32, mappings: u32) -> u32 {
    const ENGINES: u32 = 2;
    let left = mappings.saturating_sub(mappings_taken(claims)) / MAPPINGS_PER_SLOT / ENGINES;
    let one_for_each_memory = claims.saturating_mul(MEMORIES_PER_CLAIM);
    left.clamp(WARM_SLOTS_MIN, one_for_each_memory.max(WARM_SLOTS_MIN))
}

/// Mappings beside those of warm slots: of the stacks, which take two each whether they are used or not, of instances,
/// of the images of as many services, and of all else.
fn mappings_taken(claims: u32) -> u32 {
    const MAPPINGS_PER_IMAGE: u32 = 4;
    const ALL_ELSE: u32 = 2048;
    let stacks = 2 * (1 + STACKS_PER_CLAIM);
    claims
        .saturating_mul(stacks + MAPPINGS_PER_SLOT + MAPPINGS_PER_IMAGE)
        .saturating_add(ALL_ELSE)
}

/// Mappings that the kernel allows a process; its default where that can't be read.
fn mappings_max() -> u32 {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    text.trim().parse().unwrap_or(65_530)
}

/// Whether no page of the pool can be swapped out.
///
/// The kernel's pagemap scan reports pages that are present; a dirty page in swap would be missed when a slot is
/// cleared, and the slot's next tenant could read it.
pub fn swap_is_absent() -> bool {
    // The first line of /proc/swaps is a heading; every further one is an active swap area.
    std::fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() <= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_loads_what_the_child_compiles() {
        for kind in [Kind::Sync, Kind::Concurrent] {
            let pool = Pool {
                instances: 4,
                memory_max: 64 << 20,
            };
            let running = Engine::new(&run_config(kind, &pool, false)).unwrap();
            assert_eq!(
                fingerprint_of(&running),
                fingerprint(kind).unwrap(),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn slots_stay_warm_as_far_as_there_are_mappings_for_them() {
        assert_eq!(warm_slots(100, 65_530), 200);
        assert_eq!(warm_slots(1_064, 65_530), 2_128);
        // The default pool with the kernel's default: 2,000 services each keep a slot on two lanes.
        assert_eq!(warm_slots(2_112, 65_530), 4_224);
        assert_eq!(warm_slots(4_160, 65_530), WARM_SLOTS_MIN);
        assert_eq!(warm_slots(4_160, 1 << 20), 8_320);
        assert_eq!(warm_slots(1_000_000, 65_530), WARM_SLOTS_MIN);
        assert_eq!(warm_slots(u32::MAX, u32::MAX), WARM_SLOTS_MIN);
    }

    #[test]
    fn the_engines_do_not_share_artifacts() {
        assert_ne!(
            fingerprint(Kind::Sync).unwrap(),
            fingerprint(Kind::Concurrent).unwrap()
        );
    }
}
