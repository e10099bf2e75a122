//! A small world without a socket: registries by name, AWS, an hour that passes in no time, and a log of what was asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;
use mirror_ecr::Aws;
use mirror_engine::passes::{self, Desired, How, OnLimit};
use mirror_engine::{Event, Events, Planned, Stop, Surroundings};
use mirror_failure::ErrorKind;
use mirror_oci::Reference;
use mirror_plan::config::Config;

use mirror_plan::report::Report;
use mirror_plan::want::{Want, Wants, expand};
use mirror_registry::{Body, Clock, Credentials, Wire, World};
use mirror_testkit::{FakeEcr, Registry};
use mirror_tree::Entry;
use tokio::time::Instant;

/// The region of the account.
pub(crate) const REGION: &str = "eu-central-1";
/// How long each request takes on its way.
const WAY: Duration = Duration::from_millis(20);

/// Everything that is not the engine.
pub(crate) struct Company {
    pub(crate) registries: BTreeMap<String, Registry>,
    pub(crate) account: FakeEcr,
    log: Mutex<Vec<(Duration, String)>>,
    began: Instant,
}

impl Company {
    /// With these registries, and an account at AWS.
    pub(crate) fn of(registries: impl IntoIterator<Item = Registry>) -> Arc<Company> {
        let registries = registries.into_iter().map(|registry| (registry.host(), registry));
        Arc::new(Company {
            registries: registries.collect(),
            account: FakeEcr::without_server(&[REGION]),
            log: Mutex::default(),
            began: Instant::now(),
        })
    }

    pub(crate) fn registry(&self, host: &str) -> &Registry {
        if host == FakeEcr::name(REGION) {
            return self.account.registry(REGION);
        }
        &self.registries[host]
    }

    /// What was asked since the last time, with the time that had passed.
    pub(crate) fn take_log(&self) -> Vec<(Duration, String)> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    fn note(&self, text: String) {
        self.log.lock().unwrap().push((self.began.elapsed(), text));
    }

    async fn answer(
        self: Arc<Self>,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, ErrorKind> {
        let host = request.uri().authority().unwrap().to_string();
        self.note(format!("{} {}", request.method(), request.uri()));
        let known = self.registries.contains_key(&host) || host == FakeEcr::name(REGION);
        if !known {
            return Err(ErrorKind::Dns);
        }
        tokio::time::sleep(WAY).await;
        let broken = |error: std::io::Error| ErrorKind::Broken(error.to_string());
        let response = self.registry(&host).answer(request).await.map_err(broken)?;
        Ok(response.map(|body| Body::new(body.map_err(broken))))
    }

    /// What the engine stands in.
    pub(crate) fn surroundings(self: &Arc<Self>, spool: &Path) -> Surroundings {
        let (company, start) =
            (self.clone(), SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30));
        let wire = Wire::new(tower::service_fn(move |request| company.clone().answer(request)));
        let connector = SharedHttpConnector::new(Plane(self.clone()));
        let http = SharedHttpClient::new(http_client_fn(move |_, _| connector.clone()));
        Surroundings {
            world: World::simulated(wire, start, 7),
            aws: Aws::simulated(http, Clock::starting(start)),
            credentials: Arc::new(Credentials::default()),
            spool: spool.to_owned(),
        }
    }
}

/// Calls of AWS.
#[derive(Clone)]
struct Plane(Arc<Company>);

impl std::fmt::Debug for Plane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plane")
    }
}

impl HttpConnector for Plane {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let company = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().unwrap();
            let target = request.headers().get("x-amz-target").map(|target| format!("{target:?}"));
            company.note(format!("AWS {}", target.unwrap_or_default()));
            tokio::time::sleep(WAY).await;
            let body = request.body().bytes().unwrap_or_default();
            let answer = company.account.answer(request.headers(), body);
            let (parts, body) = answer.into_parts();
            let body = SdkBody::from(body.collect().await.unwrap().to_bytes());
            Ok(http::Response::from_parts(parts, body).try_into().unwrap())
        })
    }
}

/// A tree with its configuration.
pub(crate) struct Images {
    pub(crate) config: Config,
    pub(crate) entries: Vec<Entry>,
}

impl Images {
    pub(crate) fn new(references: &[&str], config: &str) -> Images {
        let entry = |reference: &&str| {
            let parsed: Reference = reference.parse().unwrap();
            let (version, name) = (parsed.version().unwrap(), parsed.name);
            let file = format!("{name}/Dockerfile");
            Entry { file, name, version, platform: None, span: 0..0, source: "".into() }
        };
        let config = Config::parse(config).unwrap();
        Images { config, entries: references.iter().map(entry).collect() }
    }

    /// Plans and carries out.
    pub(crate) async fn apply(
        &self,
        surroundings: &Surroundings,
        on_limit: OnLimit,
    ) -> (Vec<Event>, Report) {
        self.carry_out(surroundings, on_limit, None).await
    }

    /// The same, perhaps with a plan that was made before.
    pub(crate) async fn carry_out(
        &self,
        surroundings: &Surroundings,
        on_limit: OnLimit,
        fit: Option<Planned>,
    ) -> (Vec<Event>, Report) {
        let wants = expand(&self.entries, &self.config);
        let how = How {
            surroundings: surroundings.clone(),
            shard: None,
            on_limit,
            refresh_referrers: false,
            repair: false,
        };
        let root = surroundings.spool.as_path();
        let tree = Desired { config: &self.config, root, wants: &wants, whole: &wants };
        let (_stopper, stop) = Stop::new();
        let (events, mut told) = Events::new(None);
        let report = Box::pin(passes::run(tree, &how, fit, &stop, &events)).await;
        events.close();
        let mut happened = Vec::new();
        while let Some(event) = told.recv().await {
            happened.push(event);
        }
        (happened, report)
    }

    /// Plans and carries out, waiting for limits, until so many events were told; then the run is asked to stop, or dropped.
    pub(crate) async fn stopped_after(
        &self,
        surroundings: &Surroundings,
        events: usize,
        dropped: bool,
    ) -> Ended {
        let (wants, most) = (expand(&self.entries, &self.config), events);
        let how = How {
            surroundings: surroundings.clone(),
            shard: None,
            on_limit: OnLimit::Wait,
            refresh_referrers: false,
            repair: false,
        };
        let root = surroundings.spool.as_path();
        let tree = Desired { config: &self.config, root, wants: &wants, whole: &wants };
        let ((stopper, stop), (events, mut told)) = (Stop::new(), Events::new(None));
        let mut run = Box::pin(passes::run(tree, &how, None, &stop, &events));
        let counted = async {
            for _ in 0..most {
                told.recv().await;
            }
        };
        let over = tokio::select! {
            biased;
            () = counted => None,
            report = &mut run => Some(report),
        };
        if let Some(report) = over {
            return Ended { report, was_over: true };
        }
        if dropped {
            drop(run);
            events.stopped();
            return Ended { report: events.report(), was_over: false };
        }
        stopper.stop();
        Ended { report: run.await, was_over: false }
    }
}

/// How a run ended that was stopped.
pub(crate) struct Ended {
    pub(crate) report: Report,
    /// Whether there was nothing left to stop.
    pub(crate) was_over: bool,
}

/// Whether each want is in one list of a report; otherwise the one that is not.
pub(crate) fn listed_once(report: &Report, wants: &Wants) -> Result<(), String> {
    let outcomes = report.outcomes.iter().map(|outcome| &outcome.want);
    let unchanged = report.unchanged.iter().map(|item| &item.want);
    let failures = report.failures.iter().map(|failed| &failed.want);
    let listed = outcomes.chain(unchanged).chain(failures).chain(&report.unreached);
    let listed: Vec<&Want> = listed.collect();
    for want in &wants.wants {
        let conflicts = report.conflicts.iter().filter(|conflict| {
            conflict.files.contains(&want.file) && conflict.destination == want.target.destination
        });
        let times = listed.iter().filter(|listed| **listed == want).count() + conflicts.count();
        if times != 1 {
            return Err(format!("{times} times: {want:?} of {report:#?}"));
        }
    }
    Ok(())
}
