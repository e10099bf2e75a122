//! What the engine stands in: the world instead of the network, AWS and the clock.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;
use mirror_ecr::Aws;
use mirror_engine::Surroundings;
use mirror_failure::ErrorKind;
use mirror_registry::{Body, Clock, Credentials, Space, Threads, Wire};
use mirror_testkit::world::{Machine, NoAnswer, World};
use tokio::time::Instant;

/// What a run on a machine stands in. `began` is when the world did.
pub(crate) fn of(
    world: &Arc<World>,
    machine: &Machine,
    spool: &Path,
    (began, number): (Instant, u64),
) -> Surroundings {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + began.elapsed();
    let (asked, by) = (world.clone(), machine.clone());
    let wire = Wire::new(tower::service_fn(move |request| {
        let (world, machine) = (asked.clone(), by.clone());
        async move { answer(&world, &machine, request).await }
    }));
    let connector = SharedHttpConnector::new(Plane(world.clone(), machine.clone()));
    let http = SharedHttpClient::new(http_client_fn(move |_, _| connector.clone()));
    let seed = world.story.seed.wrapping_add(number);
    let mut outside = mirror_registry::World::simulated(wire, now, seed);
    outside.space = space(world);
    if let Some(time) = world.story.machine.slow {
        outside.threads = Threads::Slow(time);
    }
    Surroundings {
        world: outside,
        aws: Aws::simulated(http, Clock::starting(now)),
        credentials: Arc::new(credentials(world)),
        spool: spool.to_owned(),
    }
}

/// Sizes that are to small blobs what the real ones are to large ones.
fn space(world: &World) -> Space {
    let small = world.story.machine.small;
    let disk = world.story.machine.disk;
    if small >= Space::default().small {
        return Space { disk, ..Space::default() };
    }
    Space {
        small,
        memory: small * 16,
        passing: small * 32,
        held: small * 48,
        piece: usize::try_from(small).unwrap().max(256),
        tail: small * 2,
        disk,
    }
}

/// The most bytes of responses that a machine may hold.
pub(crate) fn most_held(world: &World) -> u64 {
    let space = space(world);
    let hosts = world.story.hosts.iter();
    let connections: u64 = hosts.map(|host| host.concurrency.unwrap_or(64) as u64).sum();
    let each = space.tail + 4 * space.piece as u64 + 4096;
    // Manifests and lists are read as a whole.
    space.memory + space.held + connections * each + (4 << 20)
}

fn credentials(world: &World) -> Credentials {
    let secrets = world.story.hosts.iter().filter_map(|host| {
        let (user, password) = host.secret.as_ref()?;
        let name = host.name.to_ascii_uppercase().replace('-', "__").replace('.', "_");
        Some((format!("MIRROR_AUTH_{name}"), format!("{user}:{password}")))
    });
    Credentials::new(secrets.collect::<Vec<_>>(), Vec::new())
}

async fn answer(
    world: &World,
    machine: &Machine,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, ErrorKind> {
    let response = world.answer(machine, request).await.map_err(kind)?;
    let broken = |error: mirror_testkit::world::Broken| ErrorKind::Broken(error.to_string());
    Ok(response.map(|body| Body::new(body.map_err(broken))))
}

fn kind(none: NoAnswer) -> ErrorKind {
    match none {
        NoAnswer::NoHost => ErrorKind::Dns,
        NoAnswer::Reset(why) => ErrorKind::Broken(why),
    }
}

/// Calls of AWS.
#[derive(Clone)]
struct Plane(Arc<World>, Machine);

impl std::fmt::Debug for Plane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plane")
    }
}

impl HttpConnector for Plane {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Plane(world, machine) = self.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().unwrap();
            let body = request.body().bytes().unwrap_or_default();
            let answer = world.call_aws(&machine, request.headers(), body).await;
            let answer = answer.map_err(|none| ConnectorError::io(kind(none).into()))?;
            Ok(answer.map(SdkBody::from).try_into().unwrap())
        })
    }
}
