//! Each limit at its edge and past it, what is said then, and that nothing gets better by getting worse.

use proptest::prelude::*;

use super::*;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn decimal(number: f64) -> Thousandths {
    Thousandths::try_from(number).unwrap()
}

/// Nothing is limited.
fn open() -> Analysis {
    Analysis {
        minimum_samples: 10,
        success_rate: None,
        p99: None,
        ..Analysis::default()
    }
}

fn with(threshold: Threshold) -> Analysis {
    Analysis {
        metrics: vec![threshold],
        ..open()
    }
}

fn comparing(success_rate: Option<f64>, p99: Option<f64>) -> Analysis {
    Analysis {
        compare: Some(Compare {
            success_rate: success_rate.map(decimal),
            p99: p99.map(decimal),
        }),
        ..open()
    }
}

fn sample(requests: u64, errors: u64, p99: u64) -> Sample {
    Sample {
        requests,
        errors,
        faults: errors,
        p50: Some(ms(1)),
        p90: Some(ms(2)),
        p99: Some(ms(p99)),
        cpu: ms(requests),
        memory_peak: 1 << 20,
        mirrored: 0,
        differing: 0,
    }
}

/// What the check says is wrong, in words; nothing if it passes.
fn wrong(analysis: &Analysis, candidate: &Sample, running: &Sample) -> Vec<String> {
    match analysis.judge(candidate, running) {
        Verdict::Pass => Vec::new(),
        Verdict::TooFew => panic!("too few"),
        Verdict::Fail(failures) => {
            assert!(!failures.is_empty());
            failures.iter().map(ToString::to_string).collect()
        }
    }
}

#[test]
fn the_defaults_are_flaggers_and_it_takes_twenty_requests() {
    let analysis = Analysis::default();
    assert_eq!((analysis.interval, analysis.threshold), (ms(60_000), 5));
    let running = Sample::default();
    assert_eq!(analysis.judge(&sample(19, 0, 1), &running), Verdict::TooFew);
    assert_eq!(analysis.judge(&sample(20, 0, 1), &running), Verdict::Pass);
    assert!(wrong(&analysis, &sample(1000, 10, 500), &Sample::default()).is_empty());
    assert_eq!(
        wrong(&analysis, &sample(1000, 88, 812), &Sample::default()),
        [
            "success rate 91.2 % is under 99 %",
            "p99 812ms is over 500ms"
        ]
    );
}

#[test]
fn more_faults_than_allowed_fail() {
    let analysis = Analysis {
        faults: Some(2),
        ..open()
    };
    let running = Sample::default();
    assert!(wrong(&analysis, &sample(10, 2, 1), &running).is_empty());
    let said = ["number of faults 3 is over 2"];
    assert_eq!(wrong(&analysis, &sample(10, 3, 1), &running), said);
}

#[test]
fn too_few_requests_neither_pass_nor_fail_except_by_faults() {
    let running = sample(1000, 0, 1);
    let all_wrong = sample(9, 9, 9000);
    let mut analysis = Analysis {
        minimum_samples: 10,
        ..comparing(Some(1.0), Some(1.5))
    };
    analysis.success_rate = Some(Thousandths::whole(99));
    analysis.p99 = Some(ms(500));
    analysis.metrics = vec![
        Threshold {
            min: Some(Thousandths::whole(20)),
            max_ratio_to_running: Some(Thousandths::whole(1)),
            ..Threshold::new(Metric::Faults)
        },
        Threshold {
            max: Some(Thousandths::whole(1)),
            ..Threshold::new(Metric::ErrorRate)
        },
    ];
    assert_eq!(analysis.judge(&all_wrong, &running), Verdict::TooFew);
    analysis.metrics[0].max = Some(Thousandths::whole(8));
    let said = ["number of faults 9 is over 8"];
    assert_eq!(wrong(&analysis, &all_wrong, &running), said);
    analysis.metrics.clear();
    analysis.faults = Some(8);
    assert_eq!(wrong(&analysis, &all_wrong, &running), said);
    let enough = sample(10, 10, 9000);
    assert_eq!(wrong(&analysis, &enough, &running).len(), 5);
}

#[test]
fn the_candidate_is_compared_with_the_running_revision() {
    let running = sample(1000, 10, 250);
    let points = comparing(Some(1.0), None);
    assert!(wrong(&points, &sample(1000, 20, 9000), &running).is_empty());
    assert_eq!(
        wrong(&points, &sample(1000, 88, 1), &running),
        [
            "success rate 91.2 % is 7.8 points under that of the running revision (99 %); 1 is allowed"
        ]
    );
    let ratio = comparing(None, Some(1.5));
    assert!(wrong(&ratio, &sample(1000, 900, 375), &running).is_empty());
    assert_eq!(
        wrong(&ratio, &sample(1000, 0, 812), &running),
        ["p99 812ms is 3.2 times that of the running revision (250ms); 1.5 is allowed"]
    );
    assert_eq!(
        wrong(&ratio, &sample(1000, 0, 376), &running),
        ["p99 376ms is 1.504 times that of the running revision (250ms); 1.5 is allowed"]
    );
    let better = sample(1000, 0, 1);
    assert!(wrong(&comparing(Some(0.0), Some(0.1)), &better, &running).is_empty());
}

#[test]
fn nothing_is_compared_with_a_running_revision_of_too_few_requests() {
    let mut analysis = comparing(Some(1.0), Some(1.5));
    analysis.metrics.push(Threshold {
        max_ratio_to_running: Some(Thousandths::whole(1)),
        ..Threshold::new(Metric::P50)
    });
    let candidate = Sample {
        p50: Some(ms(5)),
        ..sample(100, 50, 900)
    };
    assert!(wrong(&analysis, &candidate, &sample(9, 0, 1)).is_empty());
    assert_eq!(wrong(&analysis, &candidate, &sample(10, 0, 1)).len(), 3);
    analysis.minimum_samples = 0;
    analysis.metrics.push(Threshold {
        max_ratio_to_running: Some(Thousandths::whole(1)),
        ..Threshold::new(Metric::Faults)
    });
    assert!(wrong(&analysis, &candidate, &Sample::default()).is_empty());
}

/// A candidate with a tenth of all requests, and the running revision.
fn unlike() -> (Sample, Sample) {
    let candidate = Sample {
        requests: 100,
        errors: 5,
        faults: 4,
        p50: Some(ms(10)),
        p90: Some(ms(100)),
        p99: Some(ms(1500)),
        cpu: ms(250),
        memory_peak: 3 << 20,
        mirrored: 50,
        differing: 1,
    };
    let running = Sample {
        requests: 900,
        errors: 9,
        faults: 9,
        p50: Some(ms(4)),
        p90: Some(ms(40)),
        p99: Some(ms(500)),
        cpu: ms(900),
        memory_peak: 2 << 20,
        mirrored: 0,
        differing: 0,
    };
    (candidate, running)
}

#[test]
fn every_metric_may_be_at_its_limit_and_not_past_it() {
    let (candidate, running) = unlike();
    let said = [
        "number of requests 100 is over 99.999",
        "error rate 5 % is over 4.999 %",
        "success rate 95 % is over 94.999 %",
        "number of faults 4 is over 3.999",
        "p50 10ms is over 9.999ms",
        "p90 100ms is over 99.999ms",
        "p99 1.5s is over 1.499999s",
        "CPU time of a request 2.5ms is over 2.499ms",
        "memory of an instance 3MiB is over 3145727B",
        "difference rate 2 % is over 1.999 %",
    ];
    for (metric, said) in Metric::ALL.into_iter().zip(said) {
        let figure = metric.of(&candidate).unwrap();
        let limits = |max, min| {
            let threshold = Threshold::new(metric);
            let threshold = Threshold {
                max,
                min,
                ..threshold
            };
            wrong(&with(threshold), &candidate, &running)
        };
        assert!(limits(Some(figure), Some(figure)).is_empty());
        let (less, more) = (figure.get() - 1, figure.get() + 1);
        assert_eq!(limits(Some(Thousandths::new(less)), None), [said]);
        let under = limits(None, Some(Thousandths::new(more)));
        let (subject, _) = said.split_once(" is over ").unwrap();
        assert!(under[0].starts_with(&format!("{subject} is under ")));
    }
}

#[test]
fn every_metric_may_be_compared() {
    let (candidate, running) = unlike();
    let said = [
        (
            1.0,
            "number of requests 100 is 1 times that of the running revision (100 in as many requests)",
        ),
        (
            5.0,
            "error rate 5 % is 5 times that of the running revision (1 %)",
        ),
        (
            0.959,
            "success rate 95 % is 0.96 times that of the running revision (99 %)",
        ),
        (
            4.0,
            "number of faults 4 is 4 times that of the running revision (1 in as many requests)",
        ),
        (
            2.5,
            "p50 10ms is 2.5 times that of the running revision (4ms)",
        ),
        (
            2.5,
            "p90 100ms is 2.5 times that of the running revision (40ms)",
        ),
        (
            3.0,
            "p99 1.5s is 3 times that of the running revision (500ms)",
        ),
        (
            2.5,
            "CPU time of a request 2.5ms is 2.5 times that of the running revision (1ms)",
        ),
        (
            1.5,
            "memory of an instance 3MiB is 1.5 times that of the running revision (2MiB)",
        ),
    ];
    for (metric, (ratio, said)) in Metric::ALL.into_iter().zip(said) {
        let compared = |allowed: f64| {
            let threshold = Threshold {
                max_ratio_to_running: Some(decimal(allowed)),
                ..Threshold::new(metric)
            };
            wrong(&with(threshold), &candidate, &running)
        };
        assert!(compared(ratio + 0.001).is_empty(), "{metric}");
        let allowed = ratio - 0.001;
        let said = format!("{said}; {} is allowed", decimal(allowed));
        assert_eq!(compared(allowed), [said]);
        assert_eq!(
            compared(ratio).is_empty(),
            metric != Metric::SuccessRate,
            "{metric}"
        );
    }
}

#[test]
fn nothing_is_a_multiple_of_nothing() {
    let analysis = with(Threshold {
        max_ratio_to_running: Some(Thousandths::whole(2)),
        ..Threshold::new(Metric::ErrorRate)
    });
    let running = sample(100, 0, 1);
    assert!(wrong(&analysis, &sample(100, 0, 1), &running).is_empty());
    assert_eq!(
        wrong(&analysis, &sample(100, 1, 1), &running),
        ["error rate 1 % is more than that of the running revision (0 %); 2 is allowed"]
    );
}

fn any_sample() -> impl Strategy<Value = Sample> {
    (0..40u64, 0..40u64, 0..1000u64).prop_map(|(requests, errors, p99)| Sample {
        p99: (requests > 0).then(|| ms(p99)),
        ..sample(requests, errors.min(requests), p99)
    })
}

proptest! {
    #[test]
    fn who_gets_worse_fails_for_all_that_it_failed_for(
        candidate in any_sample(),
        running in any_sample(),
        (errors, slower) in (0..5u64, 0..100u64),
        (points, ratio, faults) in (0..100_000u64, 0..5_000u64, 0..10u64),
        minimum_samples in 0..20u64,
    ) {
        let mut analysis = comparing(Some(points as f64 / 1000.0), Some(ratio as f64 / 1000.0));
        analysis.minimum_samples = minimum_samples;
        analysis.faults = Some(faults);
        let worse = Sample {
            errors: (candidate.errors + errors).min(candidate.requests),
            faults: candidate.faults + errors,
            p99: candidate.p99.map(|p99| p99 + ms(slower)),
            ..candidate.clone()
        };
        let failed = |verdict| match verdict {
            Verdict::Fail(failures) => failures,
            Verdict::Pass | Verdict::TooFew => Vec::new(),
        };
        let now = failed(analysis.judge(&worse, &running));
        for failure in failed(analysis.judge(&candidate, &running)) {
            prop_assert!(now.iter().any(|other| other.metric == failure.metric), "{failure}");
        }
    }

    /// The decision, and the sentence about it, are those of the fractions themselves.
    #[test]
    fn ratios_are_exact(candidate in 1..2_000_000u64, running in 0..2_000_000u64, allowed in 0..5_000u64) {
        let time = |microseconds| Sample {
            p99: Some(Duration::from_micros(microseconds)),
            ..sample(10, 0, 0)
        };
        let analysis = comparing(None, Some(allowed as f64 / 1000.0));
        let said = wrong(&analysis, &time(candidate), &time(running));
        prop_assert_eq!(!said.is_empty(), candidate * 1000 > running * allowed);
        if let Some((times, _)) = said.first().and_then(|said| said.split_once(" times ")) {
            let times: f64 = times.rsplit(' ').next().unwrap().parse().unwrap();
            prop_assert!(times * 1000.0 > allowed as f64 - 1e-6, "{said:?}");
        }
    }
}

#[test]
fn mirrored_requests_are_judged_by_their_own_number() {
    let analysis = with(Threshold {
        max: Some(Thousandths::whole(5)),
        ..Threshold::new(Metric::DifferenceRate)
    });
    let seen = |requests, mirrored| Sample {
        mirrored,
        differing: mirrored,
        ..sample(requests, 0, 1)
    };
    let running = sample(100, 0, 1);
    assert!(wrong(&analysis, &seen(100, 9), &running).is_empty());
    let said = ["difference rate 100 % is over 5 %"];
    for requests in [0, 100] {
        assert_eq!(wrong(&analysis, &seen(requests, 10), &running), said);
    }
    assert_eq!(analysis.judge(&seen(9, 9), &running), Verdict::TooFew);
}
