//! Seats in instances: who gets one, and what becomes of an instance when they are given up.

use futures::FutureExt;

use super::super::instance::Ending;
use super::super::meter::tests::{compute, of_service};
use super::*;
use crate::fault::Cause;

fn instances(requests: u32, at_once: u32) -> Instances {
    Instances {
        reuse: Reuse { requests, at_once },
        open: Mutex::default(),
        freed: Arc::default(),
        cut: AtomicBool::new(false),
        heavy: AtomicBool::new(false),
        isolation: Isolation::new(Duration::from_secs(30)),
    }
}

/// A request's two ends in an instance that serves nobody else.
pub(crate) fn alone() -> (Seat, Claimant) {
    let (seat, claimant, _) = instances(1, 1).create();
    (seat, claimant)
}

#[test]
fn an_instance_takes_so_many_at_once_and_so_many_in_all() {
    let instances = instances(3, 2);
    let (first, held, _queue) = instances.create();
    let (second, _) = instances.find_seat(Reach::OwnLane).unwrap();
    assert!(
        instances.find_seat(Reach::OwnLane).is_none(),
        "two are inside"
    );
    drop(first);
    let (third, _) = instances.find_seat(Reach::OwnLane).unwrap();
    assert!(Arc::ptr_eq(&third.instance, &held.instance));
    assert!(held.instance.is_closed());
    drop((second, third));
    assert!(
        instances.find_seat(Reach::OwnLane).is_none(),
        "it has had three"
    );
    assert!(instances.open().instances.is_empty());
}

#[test]
fn what_is_never_reused_is_never_offered() {
    let instances = instances(1, 1);
    let (_seat, claimant, _queue) = instances.create();
    assert!(claimant.instance.is_closed());
    assert!(instances.find_seat(Reach::OwnLane).is_none());
}

#[test]
fn an_instance_that_was_given_up_gets_no_more_requests() {
    let instances = instances(128, 16);
    let (seat, claimant, _queue) = instances.create();
    claimant.abandon();
    assert!(instances.find_seat(Reach::OwnLane).is_none());
    assert!(claimant.instance.load().unattended.is_some());
    drop(seat);
    let load = claimant.instance.load();
    assert_eq!((load.in_flight, load.abandoned), (0, 0));
}

#[test]
fn counts_come_out_even_however_a_request_ends() {
    for (release_first, seat_first) in [(true, true), (true, false), (false, true), (false, false)]
    {
        let instances = instances(128, 16);
        let (seat, claimant, _queue) = instances.create();
        let (_other, _stays) = instances.find_seat(Reach::OwnLane).unwrap();
        if seat_first {
            drop(seat);
            claimant.release();
            claimant.abandon();
        } else if release_first {
            claimant.release();
            claimant.release();
            claimant.abandon();
            drop(seat);
        } else {
            claimant.abandon();
            claimant.abandon();
            claimant.release();
            drop(seat);
        }
        let load = claimant.instance.load();
        assert_eq!((load.in_flight, load.abandoned, load.released), (1, 0, 0));
        assert!(load.unattended.is_none(), "one request is attended to");
    }
}

#[test]
fn a_caller_that_hangs_up_ends_an_instance_that_works_for_it_alone() {
    let (_seat, claimant) = alone();
    claimant.hang_up();
    assert_eq!(claimant.instance.load().abandoned, 1);

    let shared = instances(128, 16);
    let (_seat, claimant, _queue) = shared.create();
    claimant.hang_up();
    assert_eq!(claimant.instance.load().released, 1);
    assert!(!claimant.instance.is_closed());
}

#[test]
fn only_the_first_reason_counts() {
    let (_seat, claimant) = alone();
    claimant.instance.ends(Cause::CpuDeadline.into());
    drop(Ending::of(&claimant.instance));
    assert_eq!(claimant.instance.fault().unwrap().cause, Cause::CpuDeadline);
}

#[test]
fn an_instance_whose_task_is_dropped_ended_by_a_fault_and_one_that_is_done_did_not() {
    let (_seat, claimant) = alone();
    drop(Ending::of(&claimant.instance));
    assert_eq!(
        claimant.instance.fault().unwrap().cause,
        Cause::WallDeadline
    );
    let (_seat, claimant) = alone();
    Ending::of(&claimant.instance).well();
    assert!(claimant.instance.fault().is_none());
}

#[test]
fn after_an_instance_that_moved_the_next_one_is_likely_to_compute_for_long() {
    let instances = instances(128, 1);
    assert!(!instances.are_heavy());
    let (seat, claimant, _queue) = instances.create();
    drop(seat);
    instances.moves(&claimant.instance);
    assert!(instances.are_heavy());
    assert!(
        instances.find_seat(Reach::OwnLane).is_none(),
        "it would wait"
    );
}

#[test]
fn until_one_on_the_busy_lane_turns_out_to_be_short() {
    let instances = instances(1, 1);
    let (_seat, claimant, _queue) = instances.create();
    instances.moves(&claimant.instance);

    // One that stayed on its lane says nothing of those on the busy lane.
    instances.learn(&of_service(false));
    assert!(instances.are_heavy());
    let long = of_service(true);
    compute(&long);
    instances.learn(&long);
    assert!(instances.are_heavy());
    instances.learn(&of_service(true));
    assert!(!instances.are_heavy());

    let stayed = of_service(false);
    compute(&stayed);
    instances.learn(&stayed);
    assert!(!instances.are_heavy(), "it has not moved");
}

#[test]
fn an_instance_of_another_lane_is_found_only_within_reach() {
    let instances = instances(3, 2);
    let elsewhere = std::thread::scope(|scope| scope.spawn(|| instances.create()).join().unwrap());
    assert!(instances.find_seat(Reach::OwnLane).is_none());
    let (seat, _) = instances.find_seat(Reach::AnyLane).unwrap();
    assert!(Arc::ptr_eq(&seat.instance, &elsewhere.1.instance));
}

#[test]
fn once_retired_instances_are_for_one_request_each() {
    let instances = instances(9, 2);
    instances.retire();
    let (_seat, late, _queue) = instances.create();
    assert!(late.instance.is_closed());
    assert!(instances.find_seat(Reach::AnyLane).is_none());
}

#[tokio::test]
async fn an_instance_that_is_retired_before_it_has_a_task_ends_when_it_has_one() {
    let instances = instances(9, 2);
    let (seat, claimant, _queue) = instances.create();
    drop(seat);
    instances.retire();
    let task = tokio::spawn(std::future::pending::<()>());
    claimant.instance.started(task.abort_handle());
    assert!(task.await.unwrap_err().is_cancelled());
}

#[test]
fn a_seat_that_is_freed_is_told_to_one_who_waits() {
    let instances = instances(9, 1);
    let (seat, ..) = instances.create();
    let waiting = instances.wait();
    let mut freed = waiting.freed();
    assert!(freed.as_mut().now_or_never().is_none());
    drop(seat);
    assert!(freed.now_or_never().is_some());
    assert!(instances.find_seat(Reach::AnyLane).is_some());
}

#[test]
fn after_a_failure_each_request_has_an_instance_of_its_own() {
    let instances = instances(3, 2);
    let (_seat, held, _queue) = instances.create();
    assert_eq!(instances.failed(), Some(Duration::from_secs(30)));
    assert_eq!(instances.failed(), None, "it has begun already");
    assert!(held.instance.is_closed(), "who is inside may finish");
    let (_seat, fresh, _queue) = instances.create();
    assert!(fresh.instance.is_closed() && fresh.instance.is_exclusive());
    assert!(instances.find_seat(Reach::AnyLane).is_none());
}
