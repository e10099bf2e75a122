//! The world itself: who is asked, what that costs, who acts meanwhile, and what must hold at every write.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use tokio::time::Instant;

use crate::body::Breakable;
use crate::ecr::FakeEcr;
use crate::world::acts::Act;
use crate::world::inside::{Kept, World};
use crate::world::invariants;
use crate::world::link::{Broken, Carried, Direction};
use crate::world::machine::Machine;
use crate::world::place::Place;
use crate::world::quirks::REGION;
use crate::world::story::{Role, Story};
use crate::world::upstream;
use crate::world::violation::Violation;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// There is no such host.
    NoHost,
    /// The connection breaks.
    Reset(String),
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64) -> Arc<World> {
        World::of(Story::draw(seed))
    }

    /// The world of a story.
    pub fn of(story: Story) -> Arc<World> {
        let account = FakeEcr::without_server(&[REGION]);
        let calm = Arc::new(AtomicBool::new(false));
        let places = story.hosts.iter();
        let places =
            places.flat_map(|host| Place::all(host, story.seed, &account, &calm)).collect();
        let kept = Kept { acts: story.acts.clone(), ..Kept::default() };
        let world = World {
            story,
            places,
            account,
            calm,
            began: Instant::now(),
            kept: Mutex::new(kept),
            busy: Mutex::default(),
            writes: AtomicUsize::new(0),
        };
        upstream::fill(&world);
        Arc::new(world)
    }

    /// From here on nothing goes wrong any more, and nobody else does anything.
    pub fn calm_down(&self) {
        invariants::pulls_stay_within_the_budget(self);
        self.calm.store(true, Ordering::Relaxed);
        self.lock().acts.clear();
        for place in self.places.values() {
            place.registry(&self.account).forget_pulls();
        }
    }

    /// Holds what must hold at the end.
    pub fn ends(&self) {
        invariants::at_end(self);
    }

    /// What happens before a request: it is written down, and others do what it is time for.
    fn arrives(&self, machine: &Machine, what: &str) {
        self.note(&format!("{} {what}", machine.name()));
        let due: Vec<Act> = {
            let mut kept = self.lock();
            kept.requests += 1;
            let now = kept.requests;
            let (due, later) =
                std::mem::take(&mut kept.acts).into_iter().partition(|(at, _)| *at <= now);
            kept.acts = later;
            let due: Vec<(u64, Act)> = due;
            due.into_iter().map(|(_, act)| act).collect()
        };
        for act in due {
            self.note(&format!("-- {act:?}"));
            upstream::act(self, &act);
        }
    }

    /// Answers a request of a machine.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn answer<B>(
        &self,
        machine: &Machine,
        request: Request<B>,
    ) -> Result<Response<Carried<Breakable>>, NoAnswer>
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        if machine.is_off() {
            return Err(NoAnswer::Reset("the machine is off".to_owned()));
        }
        let uri = request.uri().clone();
        let (method, host) = (request.method().clone(), uri.authority().unwrap().to_string());
        self.arrives(machine, &format!("{method} {uri}"));
        let Some(place) = self.places.get(&host) else {
            if host != "nowhere.example" {
                self.violated(Violation::host_that_nothing_names(&host));
            }
            invariants::secrets(self, &host, &request);
            return Err(NoAnswer::NoHost);
        };
        invariants::secrets(self, &host, &request);
        // Whoever asks what a host is at all asks beside the others.
        let counted = uri.path() != "/v2/";
        let who = format!("{} at {host}", machine.name());
        let _busy = counted.then(|| Busy::new(self, &who, place));
        let way = place.line.way(self.is_calm());
        place.line.latency().await;
        let request = request.map(|body| Carried::new(body, &place.line, Direction::Up, way, None));
        let answer = place.registry(&self.account).answer(request).await;
        let broken = |error: std::io::Error| NoAnswer::Reset(error.to_string());
        let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        self.note(&format!("{} {status} <- {method} {uri}", machine.name()));
        let writes = !matches!(method, Method::GET | Method::HEAD);
        if writes && place.role == Role::Destination && !uri.path().starts_with("/token") {
            self.wrote(machine, &host, uri.path(), status);
        }
        machine.has_asked();
        place.line.latency().await;
        if machine.is_off() {
            return Err(NoAnswer::Reset("the machine is off".to_owned()));
        }
        let held = Some(machine.held());
        let answer = answer.map_err(broken)?;
        Ok(answer.map(|body| Carried::new(body, &place.line, Direction::Down, way, held)))
    }

    /// Holds what must hold at every write.
    fn wrote(&self, machine: &Machine, host: &str, path: &str, status: u16) {
        if status < 300 {
            self.writes.fetch_add(1, Ordering::Relaxed);
            if !machine.may_write() {
                self.violated(Violation::look_that_writes(path));
            }
        }
        invariants::at_write(self, host, path);
    }

    /// Answers a call of the control plane of AWS.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call_aws(
        &self,
        machine: &Machine,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response<Bytes>, NoAnswer> {
        if machine.is_off() {
            return Err(NoAnswer::Reset("the machine is off".to_owned()));
        }
        let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = target.unwrap_or_default().rsplit('.').next().unwrap_or_default();
        let text = String::from_utf8_lossy(body);
        self.arrives(machine, &format!("AWS {operation} {text}"));
        tokio::time::sleep(Duration::from_millis(30)).await;
        let answer: Response<Full<Bytes>> = self.account.answer(headers, body);
        let writes = ["Create", "Put", "Set", "TagResource", "Delete"];
        if writes.iter().any(|verb| operation.starts_with(verb)) && answer.status().is_success() {
            self.writes.fetch_add(1, Ordering::Relaxed);
            if !machine.may_write() {
                self.violated(Violation::look_that_writes(operation));
            }
        }
        machine.has_asked();
        // As long as it takes to come back.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes);
        Ok(Response::from_parts(parts, body.unwrap_or_default()))
    }
}

/// A request that is being answered.
struct Busy<'a>(&'a World, String);

impl Busy<'_> {
    fn new<'a>(world: &'a World, host: &str, place: &Place) -> Busy<'a> {
        let mut busy = world.busy.lock().unwrap();
        let count = busy.entry(host.to_owned()).or_default();
        *count += 1;
        let now = *count;
        drop(busy);
        if place.concurrency.is_some_and(|most| now > most) {
            world.violated(Violation::too_many_at_once(host, now));
        }
        Busy(world, host.to_owned())
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut busy = self.0.busy.lock().unwrap();
        if let Some(count) = busy.get_mut(&self.1) {
            *count -= 1;
        }
    }
}

impl From<Broken> for NoAnswer {
    fn from(broken: Broken) -> NoAnswer {
        NoAnswer::Reset(broken.0)
    }
}
