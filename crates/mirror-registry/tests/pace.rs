//! Pauses: a refusal is said by a host, not of a request.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mirror_failure::{ErrorKind, RequestError, RetryPolicy};
use mirror_oci::{Endpoint, Repository, Tag};
use mirror_registry::{
    Access, Credentials, Host, HostOptions, ManifestRef, Presets, Remote, RequestRates, World,
};
use mirror_testkit::{Fault, ImageBuilder, Profile, Registry};

const RETRY_POLICY: RetryPolicy =
    RetryPolicy { idle: Duration::from_secs(10), first_pause: Duration::from_millis(20) };

fn at(host: &Arc<Host>, repository: &Repository) -> Remote {
    Remote::new(host.clone(), repository.clone(), Access::Pull)
}

fn stocked() -> Registry {
    let registry = Registry::start();
    registry.add("library/app", "1.0", &ImageBuilder::new("x").build());
    registry
}

fn host(registry: &Registry) -> Arc<Host> {
    let options = HostOptions { retry_policy: RETRY_POLICY, ..HostOptions::default() };
    let credentials = Arc::new(Credentials::new([], Vec::new()));
    let host = Host::new(&World::real(), credentials, &registry.host().parse().unwrap(), &options);
    Arc::new(host.unwrap())
}

fn names() -> (Repository, Tag) {
    ("library/app".parse().unwrap(), "1.0".parse().unwrap())
}

async fn heads(host: &Arc<Host>, number: usize) -> Vec<Result<bool, RequestError>> {
    let (repository, tag) = names();
    let look = async |_| {
        let found = at(host, &repository).head_manifest(ManifestRef::Tag(&tag)).await;
        found.map(|found| found.is_some())
    };
    join_all((0..number).map(look)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_always_refuses_is_asked_a_few_times_and_the_rest_is_deferred() {
    for seconds in [0, 1] {
        let registry = stocked();
        registry.set_faults(move |_| Some(Fault::Throttle(seconds)));
        let host = host(&registry);
        let started = Instant::now();
        let outcomes = heads(&host, 300).await;
        assert!(
            outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(RequestError::is_deferred))
        );
        let said = outcomes.last().unwrap().as_ref().unwrap_err().to_string();
        assert!(said.contains("it served nothing over 4 pauses"), "{said}");
        assert_eq!(registry.take_requests().len(), 5, "one at the end of each pause");
        assert!(started.elapsed() >= Duration::from_secs(4 * seconds));
        assert!(started.elapsed() < Duration::from_secs(4 * seconds + 5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_pause_stops_everything_and_one_that_is_too_long_defers_it() {
    let registry = stocked();
    registry.set_faults(|_| Some(Fault::Throttle(120)));
    let host = host(&registry);
    let asking = heads(&host, 300);
    assert!(tokio::time::timeout(Duration::from_millis(500), asking).await.is_err(), "it waits");
    assert_eq!(registry.take_requests().len(), 1);

    let host = self::host(&registry);
    registry.set_faults(|_| Some(Fault::Throttle(3600)));
    let outcomes = heads(&host, 300).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(RequestError::is_deferred)));
    let said = outcomes.last().unwrap().as_ref().unwrap_err().to_string();
    assert!(said.contains("it asks for a pause of 3600 s"), "{said}");
    assert_eq!(registry.take_requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_given_up_is_asked_again_later() {
    let registry = stocked();
    let ill = Arc::new(AtomicBool::new(true));
    let is_ill = ill.clone();
    registry.set_faults(move |_| is_ill.load(Ordering::Relaxed).then_some(Fault::Throttle(1)));
    let host = host(&registry);
    assert!(heads(&host, 3).await.iter().all(Result::is_err));
    assert!(heads(&host, 3).await.iter().all(Result::is_err));
    assert_eq!(registry.take_requests().len(), 5, "nobody asks before the pause is over");
    ill.store(false, Ordering::Relaxed);
    tokio::time::sleep_until(host.probe_at().unwrap()).await;
    assert!(host.serves_again().await);
    assert!(heads(&host, 20).await.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_pause_one_request_goes_ahead() {
    let registry = stocked();
    let host = host(&registry);
    assert!(heads(&host, 1).await[0].is_ok());
    // A burst is refused, and so is the one that goes ahead after the first pause.
    let started = Instant::now();
    registry.set_faults(move |_| {
        (started.elapsed() < Duration::from_millis(1500)).then_some(Fault::Throttle(1))
    });
    let outcomes = heads(&host, 200).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let late = registry.take_requests();
    let refused = late.iter().filter(|request| request.status == 429).count();
    assert!((2..=65).contains(&refused), "{refused}: not every request again after each pause");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maintenance_that_says_how_long_it_takes_is_waited_for() {
    let registry = stocked();
    registry.set_faults(|exchange| {
        (exchange.number < 2).then(|| Fault::refuse(503, "UNAVAILABLE", ""))
    });
    // Without a time, each request tries again by itself.
    assert!(heads(&host(&registry), 5).await.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_told_to_a_look_up_counts() {
    // Headers alone: the answer to a HEAD has no body.
    let registry = stocked();
    registry.set_faults(|_| Some(Fault::Throttle(3600)));
    let error = heads(&host(&registry), 1).await.remove(0).unwrap_err();
    assert!(error.is_deferred(), "{error}");

    let limited = Registry::with(Profile { pull_limit: Some((0, 3600)), ..Profile::default() });
    limited.add("library/app", "1.0", &ImageBuilder::new("x").build());
    let host = host(&limited);
    let (repository, tag) = names();
    let first = at(&host, &repository).get_manifest(ManifestRef::Tag(&tag)).await.unwrap_err();
    assert!(matches!(first.kind(), ErrorKind::PullLimit { .. }), "{first}");
    assert!(host.reserve_pulls(1).is_err(), "the body alone stops further pulls");
    limited.take_requests();
    let next = at(&host, &repository).get_manifest(ManifestRef::Tag(&tag)).await.unwrap_err();
    assert!(next.is_deferred() && limited.take_requests().is_empty());
    assert!(heads(&host, 1).await[0].is_ok(), "looking is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_takes_ten_pulls_a_second_gets_no_more() {
    let registry = stocked();
    let endpoint: Endpoint = registry.endpoint().parse().unwrap();
    let rates = RequestRates { pulls: Some(10), ..RequestRates::default() };
    let presets = Presets { rates, ..Presets::default() };
    let options = HostOptions { endpoint: Some(endpoint), presets, ..HostOptions::default() };
    let credentials = Arc::new(Credentials::new([], Vec::new()));
    let name = "registry.example".parse().unwrap();
    let host = Arc::new(Host::new(&World::real(), credentials, &name, &options).unwrap());
    let (repository, tag) = names();
    let started = Instant::now();
    let pull = async |_| at(&host, &repository).get_manifest(ManifestRef::Tag(&tag)).await.unwrap();
    join_all((0..25).map(pull)).await;
    assert!(started.elapsed() >= Duration::from_millis(1400), "{:?}", started.elapsed());
    let before = Instant::now();
    heads(&host, 50).await;
    assert!(before.elapsed() < Duration::from_secs(1), "looking is no pull");
}
