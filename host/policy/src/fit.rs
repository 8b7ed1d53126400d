//! Which candidates can take their services' places together: as many as there is room for, none in another's way.
//!
//! Two services that exchange routes fit only together; so candidates are looked at as a set. Of the pool only the
//! number of services that have instances counts, since every ask can be divided (see [`crate::shares`]).

use std::collections::{BTreeMap, HashMap};

use crate::name::ServiceName;
use crate::routes::{RouteConflict, RouteSpec, Takes};
use crate::shares::TooManyServices;

/// Services by name, with what each has or wants.
pub type Routes<'a> = BTreeMap<&'a ServiceName, Wants<'a>>;

/// What a service has or wants.
#[derive(Debug, Clone, Copy)]
pub struct Wants<'a> {
    /// Where its requests come from.
    pub routes: &'a [RouteSpec],
    /// Whether it has instances of the pool.
    pub has_instances: bool,
}

/// Why a candidate can't take its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Another service takes the same requests.
    #[error(transparent)]
    Route(#[from] RouteConflict),
    /// The pool has an instance for every service that there is, and no more.
    #[error(transparent)]
    Pool(#[from] TooManyServices),
}

impl Misfit {
    /// The service that stands in `name`'s way, if it is one.
    #[must_use]
    pub fn blocker(&self, name: &ServiceName) -> Option<&ServiceName> {
        let Self::Route(conflict) = self else {
            return None;
        };
        let mut both = conflict.routes.iter().map(|(service, _)| service);
        both.find(|service| *service != name)
    }
}

/// The candidates that don't fit into a pool of `total` instances beside what `stands` and beside each other; all the
/// others can be published in one snapshot. A candidate that does not fit leaves its service as it stands. Of two
/// candidates in each other's way the one whose service stands goes before, else the first by name.
///
/// Costs a look at every route, and another for each candidate that does not fit although its service stands.
#[must_use]
pub fn misfits<'a>(
    total: u32,
    stands: &Routes<'a>,
    candidates: &Routes<'a>,
) -> BTreeMap<&'a ServiceName, Misfit> {
    let mut stay = BTreeMap::new();
    loop {
        let moves = |name: &ServiceName| candidates.contains_key(name) && !stay.contains_key(name);
        let mut taken = Taken::default();
        for (name, wants) in stands.iter().filter(|(name, _)| !moves(name)) {
            taken.stand(name, *wants);
        }
        let moving = candidates.iter().filter(|(name, _)| moves(name));
        let (standing, new): (Vec<_>, Vec<_>) =
            moving.partition(|(name, _)| stands.contains_key(*name));
        let mut take = |(name, wants): (&&'a ServiceName, &Wants<'a>)| {
            let refused = taken.take(total, name, *wants).err();
            refused.map(|misfit| (*name, misfit))
        };
        // One that stays takes its old routes, which others may have been given here.
        let Some((name, misfit)) = standing.into_iter().find_map(&mut take) else {
            let new: Vec<_> = new.into_iter().filter_map(take).collect();
            stay.extend(new);
            return stay;
        };
        stay.insert(name, misfit);
    }
}

/// The requests that are spoken for.
#[derive(Default)]
struct Taken<'a> {
    /// Services that have instances.
    services: usize,
    by: HashMap<Takes<'a>, (&'a ServiceName, &'a RouteSpec)>,
}

impl<'a> Taken<'a> {
    /// Of two that stand in each other's way, as candidates of different moments may, both have what they have.
    fn stand(&mut self, name: &'a ServiceName, wants: Wants<'a>) {
        for route in wants.routes {
            for takes in route.takes() {
                self.by.entry(takes).or_insert((name, route));
            }
        }
        self.services += usize::from(wants.has_instances);
    }

    fn take(&mut self, total: u32, name: &'a ServiceName, wants: Wants<'a>) -> Result<(), Misfit> {
        let services = self.services + usize::from(wants.has_instances);
        if wants.has_instances && services > total as usize {
            // What each takes of the pool is known once it is compiled.
            let least = services as u64;
            return Err(TooManyServices {
                services,
                least,
                total,
            }
            .into());
        }
        let mut own = HashMap::new();
        for route in wants.routes {
            for takes in route.takes() {
                let other = self.by.get(&takes).or_else(|| own.get(&takes));
                // A route may name a method twice.
                if let Some(other) = other.filter(|(_, other)| !std::ptr::eq(*other, route)) {
                    return Err(RouteConflict::between(*other, (name, route), &takes).into());
                }
                own.insert(takes, (name, route));
            }
        }
        self.services = services;
        self.by.extend(own);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::{PathPattern, RouteTable};
    use proptest::prelude::*;

    fn name(index: usize) -> ServiceName {
        ServiceName::try_from(format!("s{index}").as_str()).unwrap()
    }

    fn route(path: usize) -> RouteSpec {
        RouteSpec {
            host: None,
            path: PathPattern::try_from(format!("/{path}").as_str()).unwrap(),
            methods: None,
            strip_prefix: false,
        }
    }

    fn with_instances(routes: &[RouteSpec]) -> Wants<'_> {
        Wants {
            routes,
            has_instances: true,
        }
    }

    /// Services by index, each with the paths that it takes.
    type Services<'a> = &'a [(usize, &'a [usize])];

    fn refused(total: u32, stands: Services<'_>, candidates: Services<'_>) -> Vec<usize> {
        let make = |services: Services<'_>| -> Vec<(ServiceName, Vec<RouteSpec>)> {
            let made = services.iter();
            made.map(|(index, paths)| (name(*index), paths.iter().copied().map(route).collect()))
                .collect()
        };
        let (stands, candidates) = (make(stands), make(candidates));
        let [stands, candidates] = [&stands, &candidates].map(|made| {
            made.iter()
                .map(|(name, routes)| (name, with_instances(routes)))
                .collect()
        });
        let refused = misfits(total, &stands, &candidates);
        refused
            .keys()
            .map(|name| name.as_str()[1..].parse().unwrap())
            .collect()
    }

    #[test]
    fn services_that_exchange_routes_fit_together_and_not_alone() {
        let stands: Services<'_> = &[(0, &[0]), (1, &[1]), (2, &[2])];
        assert_eq!(refused(9, stands, &[(0, &[1])]), [0]);
        assert_eq!(refused(9, stands, &[(0, &[1]), (1, &[0])]), [0usize; 0]);
        assert_eq!(
            refused(9, stands, &[(0, &[1]), (1, &[2]), (2, &[0])]),
            [0usize; 0]
        );
    }

    #[test]
    fn a_candidate_in_nobodys_way_fits_beside_those_that_do_not_fit() {
        let stands: Services<'_> = &[(0, &[0]), (1, &[1])];
        // 0 wants what 1 keeps, since 1 wants what it can't have; 2 is free to go.
        assert_eq!(
            refused(9, stands, &[(0, &[1]), (1, &[0, 3]), (2, &[4]), (3, &[3])]),
            [3]
        );
        assert_eq!(refused(9, stands, &[(0, &[1]), (2, &[4])]), [0]);
    }

    #[test]
    fn of_two_new_services_that_want_the_same_the_first_by_name_fits() {
        assert_eq!(refused(9, &[], &[(1, &[0]), (0, &[0]), (2, &[1])]), [1]);
        // One that stands goes before a new one whatever their names.
        assert_eq!(refused(9, &[(1, &[1])], &[(0, &[0]), (1, &[0])]), [0]);
    }

    #[test]
    fn a_full_pool_refuses_new_services_and_no_others() {
        let stands: Services<'_> = &[(1, &[1]), (2, &[2])];
        assert_eq!(refused(2, stands, &[(0, &[0]), (1, &[5])]), [0]);
        assert_eq!(refused(3, stands, &[(0, &[0]), (1, &[5])]), [0usize; 0]);
    }

    #[test]
    fn a_service_without_instances_has_room_in_a_full_pool() {
        let names: Vec<ServiceName> = (0..4).map(name).collect();
        let routes: Vec<RouteSpec> = (0..4).map(route).collect();
        let at = |index: usize, has_instances| {
            let routes = &routes[index..=index];
            let wants = Wants {
                routes,
                has_instances,
            };
            (&names[index], wants)
        };
        let stands = [at(0, true), at(1, false)].into();
        let candidates = [at(2, false), at(3, true)].into();
        let refused: Vec<_> = misfits(1, &stands, &candidates).into_keys().collect();
        assert_eq!(refused, [&names[3]]);
        assert!(misfits(2, &stands, &candidates).is_empty());
    }

    #[test]
    fn what_stands_twice_is_still_taken_and_so_is_the_rest_of_it() {
        let stands: Services<'_> = &[(0, &[0]), (1, &[0, 5])];
        assert_eq!(
            refused(9, stands, &[(2, &[5]), (3, &[0]), (4, &[6])]),
            [2, 3]
        );
    }

    #[test]
    fn a_service_that_takes_the_same_twice_fits_nowhere() {
        assert_eq!(refused(9, &[], &[(0, &[1, 1]), (1, &[2])]), [0]);
    }

    fn some_services() -> impl Strategy<Value = BTreeMap<usize, Vec<usize>>> {
        let paths = proptest::collection::btree_set(0..6usize, 1..3);
        let paths = paths.prop_map(|paths| paths.into_iter().collect());
        proptest::collection::btree_map(0..5usize, paths, 0..5)
    }

    proptest! {
        #[test]
        fn what_is_not_refused_can_be_published(
            total in 0..8u32,
            wanted in some_services(),
            candidates in some_services(),
        ) {
            // What stands has been published, so it fits.
            let mut stands: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for (index, paths) in wanted {
                let free = |path| !stands.values().flatten().any(|taken| taken == path);
                if stands.len() < total as usize && paths.iter().all(free) {
                    stands.insert(index, paths);
                }
            }
            let [old, new] = [&stands, &candidates].map(|services| {
                services.iter().map(|(index, paths)| (*index, &**paths)).collect::<Vec<_>>()
            });
            let refused = refused(total, &old, &new);
            let mut after = stands.clone();
            after.extend(candidates.into_iter().filter(|(index, _)| !refused.contains(index)));
            prop_assert!(after.len() <= total as usize);
            let table = RouteTable::build(after.iter().flat_map(|(index, paths)| {
                paths.iter().map(|path| (route(*path), name(*index), ()))
            }));
            prop_assert!(table.is_ok());
        }
    }
}
