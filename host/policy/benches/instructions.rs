//! What decisions on a request's way and at a swap may cost, in instructions.
//!
//! Time on a shared machine says little; instructions hardly change from run to run. `instructions` prints the
//! budgets, `instructions PIECE TIMES` has a piece done so many times, for callgrind to count: `cargo xtask test`
//! compares the two. Budgets leave room for another compiler, not for another algorithm.

#![allow(clippy::print_stdout, reason = "xtask reads it")]

use std::hint::black_box;
use std::process::ExitCode;

use skep_policy::fit::{Routes, Wants, misfits};
use skep_policy::name::ServiceName;
use skep_policy::routes::{PathPattern, RouteSpec, RouteTable};
use skep_policy::shares::{self, Ask};

/// Services of a full host.
const MANY: u32 = 10_000;

struct Piece {
    name: &'static str,
    /// Instructions of doing it once.
    budget: u64,
    /// Sets up, and says how it is done once.
    make: fn() -> Box<dyn FnMut()>,
}

const PIECES: [Piece; 8] = [
    Piece {
        name: "match-10-routes",
        budget: 950,
        make: || matching(10, "/s7/some/path"),
    },
    Piece {
        name: "match-10000-routes",
        budget: 950,
        make: || matching(MANY, "/s7777/some/path"),
    },
    Piece {
        name: "match-none-of-10000-routes",
        budget: 950,
        make: || matching(MANY, "/none/of/them"),
    },
    Piece {
        name: "match-8-segments",
        budget: 950,
        make: || matching(MANY, "/s7777/a/b/c/d/e/f/g"),
    },
    Piece {
        name: "parse-a-pattern",
        budget: 7_500,
        make: || {
            Box::new(|| {
                drop(black_box(PathPattern::try_from(black_box(
                    "/api/{version}/items/{*rest}",
                ))));
            })
        },
    },
    Piece {
        name: "build-1000-routes",
        budget: 14_500_000,
        make: || {
            let routes = routes(1_000);
            Box::new(move || drop(black_box(table(&routes))))
        },
    },
    Piece {
        name: "fit-one-beside-1000-services",
        budget: 6_500_000,
        make: || {
            let stand = routes(1_000);
            let (candidate, standing) = (stand[500].clone(), stand);
            Box::new(move || {
                let stands: Routes<'_> = by_name(&standing);
                let candidates: Routes<'_> = by_name(std::slice::from_ref(&candidate));
                assert!(black_box(misfits(MANY, &stands, &candidates)).is_empty());
            })
        },
    },
    Piece {
        name: "divide-the-pool-among-1000",
        budget: 37_000,
        make: || {
            let ask = |index: u32| Ask {
                least: 1,
                most: 1 + index % 64,
            };
            let asked: Vec<Ask> = (0..1_000).map(ask).collect();
            Box::new(move || drop(black_box(shares::divide(black_box(4_096), &asked))))
        },
    },
];

type Service = (ServiceName, Vec<RouteSpec>);

fn routes(services: u32) -> Vec<Service> {
    let name = |index| ServiceName::try_from(format!("s{index}").as_str());
    let named = (0..services).filter_map(|index| name(index).ok());
    named
        .map(|name| (name.clone(), RouteSpec::drop_in(&name)))
        .collect()
}

fn by_name(services: &[Service]) -> Routes<'_> {
    let services = services.iter();
    let wants = |routes| Wants {
        routes,
        has_instances: true,
    };
    services
        .map(|(name, routes)| (name, wants(&routes[..])))
        .collect()
}

fn table(services: &[Service]) -> RouteTable<()> {
    let routes = services.iter().flat_map(|(name, routes)| {
        let routes = routes.iter();
        routes.map(|route| (route.clone(), name.clone(), ()))
    });
    RouteTable::build(routes).unwrap_or_default()
}

fn matching(services: u32, path: &'static str) -> Box<dyn FnMut()> {
    let table = table(&routes(services));
    Box::new(move || {
        drop(black_box(table.find(
            "shop.example:8080",
            black_box(path),
            "GET",
        )))
    })
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let [name, times] = &args[..] else {
        for piece in PIECES {
            println!("{} {}", piece.name, piece.budget);
        }
        return ExitCode::SUCCESS;
    };
    let piece = PIECES.iter().find(|piece| piece.name == name);
    let (Some(piece), Ok(times)) = (piece, times.parse::<u32>()) else {
        return ExitCode::FAILURE;
    };
    let mut once = (piece.make)();
    (0..times).for_each(|_| once());
    ExitCode::SUCCESS
}
