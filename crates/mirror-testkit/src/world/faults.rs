//! What goes wrong at hosts: how often, at which requests, and how much of it in all.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::ecr::AwsCall;
use crate::fault::{Exchange, Fault};
use crate::world::dice::Dice;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// 429 with a pause.
    Throttle,
    /// 500, 502, 503, 504.
    Error,
    /// 403 out of the blue.
    Denied,
    /// The connection breaks before the answer.
    Reset,
    /// It is done, and the answer is lost.
    Lost,
    /// The body ends too early.
    Cut,
    /// No answer ever.
    Hang,
    /// A body that comes byte by byte.
    Drip,
    /// A body that never ends.
    Endless,
    /// A byte is another one.
    WrongBytes,
    /// The answer takes long.
    Delay,
    /// A page for people instead of what was asked for.
    Page,
    /// A digest in the headers that is not that of the body.
    WrongDigest,
    /// A media type in the headers that is not that of the body.
    WrongType,
    /// A challenge where a token was sent that is valid.
    Challenge,
}

/// All of them: a new one is added here, in [`FaultKind::fault`] and nowhere else.
const KINDS: &[FaultKind] = &[
    FaultKind::Throttle,
    FaultKind::Error,
    FaultKind::Denied,
    FaultKind::Reset,
    FaultKind::Lost,
    FaultKind::Cut,
    FaultKind::Hang,
    FaultKind::Drip,
    FaultKind::Endless,
    FaultKind::WrongBytes,
    FaultKind::Delay,
    FaultKind::Page,
    FaultKind::WrongDigest,
    FaultKind::WrongType,
    FaultKind::Challenge,
];

/// Which requests meet a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// Any of them.
    Any,
    /// Those whose path has this in it.
    Path(&'static str),
    /// Those with this method.
    Method(&'static str),
}

/// One kind of fault at a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// What goes wrong.
    pub kind: FaultKind,
    /// For whom.
    pub victim: Victim,
    /// In so many of a thousand requests.
    pub often: u64,
    /// How often in all.
    pub most: usize,
}

impl Trouble {
    /// Draws one.
    pub fn draw(dice: &mut Dice) -> Trouble {
        let victims = [
            Victim::Any,
            Victim::Path("/manifests/"),
            Victim::Path("/blobs/sha256"),
            Victim::Path("/blobs/uploads/"),
            Victim::Path("/referrers/"),
            Victim::Path("/token"),
            Victim::Method("PUT"),
            Victim::Method("POST"),
            Victim::Method("HEAD"),
            Victim::Method("GET"),
        ];
        let often = [1000, 400, 200, 100, 50, 20];
        Trouble {
            kind: *dice.one(KINDS),
            victim: *dice.one(&victims),
            often: *dice.one(&often),
            most: *dice.one(&[1, 2, 3, 8, 30]),
        }
    }
}

impl FaultKind {
    fn fault(self, dice: &mut Dice, asked: &Exchange) -> Fault {
        match self {
            FaultKind::Throttle => Fault::Throttle(dice.between(0, 5)),
            FaultKind::Error => {
                let status = *dice.one(&[500, 502, 503, 504]);
                Fault::refuse(status, "UNKNOWN", "something is wrong")
            }
            FaultKind::Denied => Fault::refuse(403, "DENIED", "requested access is denied"),
            FaultKind::Reset => Fault::Reset,
            FaultKind::Lost => Fault::Lost,
            FaultKind::Cut => Fault::Cut(dice.below(3000)),
            FaultKind::Hang => Fault::Hang,
            FaultKind::Drip => Fault::Drip(dice.time(1, 50)),
            // A HEAD has no body to go on with.
            FaultKind::Endless if asked.method == "GET" => Fault::Endless,
            FaultKind::Endless => Fault::Delay(Duration::from_secs(1)),
            FaultKind::WrongBytes => Fault::WrongBytes,
            FaultKind::Delay => Fault::Delay(dice.time(100, 60_000)),
            FaultKind::Page => {
                Fault::Answer(200, "text/html", "<html>Sign in to the network</html>".to_owned())
            }
            FaultKind::WrongDigest => {
                Fault::Header("docker-content-digest", format!("sha256:{}", "ab".repeat(32)))
            }
            FaultKind::WrongType => Fault::Header("content-type", "text/plain".to_owned()),
            FaultKind::Challenge => {
                let realm = "https://nowhere.example/token";
                Fault::Challenge(format!("Bearer realm=\"{realm}\",service=\"x\""))
            }
        }
    }
}

impl Victim {
    fn is(self, asked: &Exchange) -> bool {
        match self {
            Victim::Any => true,
            Victim::Path(part) => asked.path.contains(part),
            Victim::Method(method) => asked.method == method,
        }
    }
}

/// What goes wrong with calls of the control plane of AWS, in so many of a thousand, and how often in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AwsTrouble {
    /// Status, code and message.
    pub answer: (u16, &'static str, &'static str),
    /// The calls that it is about: those whose name contains this.
    pub calls: &'static str,
    /// In so many of a thousand.
    pub often: u64,
    /// How often in all.
    pub most: usize,
}

impl AwsTrouble {
    /// Draws one.
    pub(crate) fn draw(dice: &mut Dice) -> AwsTrouble {
        let answers = [
            (400, "ThrottlingException", "Rate exceeded"),
            (500, "ServerException", "something went wrong"),
            (503, "ServiceUnavailable", "try again"),
            (400, "AccessDeniedException", "not authorized to perform this"),
            (400, "ExpiredTokenException", "The security token included in the request is expired"),
        ];
        let calls =
            ["", "Describe", "Create", "BatchGetImage", "BatchCheck", "Authorization", "Put"];
        AwsTrouble {
            answer: *dice.one(&answers),
            calls: calls[dice.below(calls.len())],
            often: *dice.one(&[1000, 500, 100]),
            most: *dice.one(&[1, 3, 20]),
        }
    }
}

/// The rule of an account: troubles until faults have ceased.
pub(crate) fn aws_rule(
    troubles: &[AwsTrouble],
    dice: Dice,
    calm: Arc<AtomicBool>,
) -> impl Fn(&AwsCall) -> Option<(u16, &'static str, &'static str)> + Send + Sync + 'static {
    let left: Vec<(AwsTrouble, usize)> = troubles.iter().map(|one| (*one, one.most)).collect();
    let state = Mutex::new((dice, left));
    move |call| {
        if calm.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = state.lock().unwrap();
        let (dice, left) = &mut *state;
        let mut meets = left.iter_mut().filter(|(one, left)| {
            *left > 0 && call.action.contains(one.calls) && dice.number() % 1000 < one.often
        });
        let (trouble, left) = meets.next()?;
        *left -= 1;
        Some(trouble.answer)
    }
}

/// The rule of a host: troubles until faults have ceased.
pub(crate) fn rule(
    troubles: &[Trouble],
    dice: Dice,
    calm: Arc<AtomicBool>,
) -> impl Fn(&Exchange) -> Option<Fault> + Send + Sync + 'static {
    let troubles = troubles.to_vec();
    let left = troubles.iter().map(|trouble| trouble.most).collect::<Vec<_>>();
    let state = Mutex::new((dice, left));
    move |asked| {
        if calm.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = state.lock().unwrap();
        let (dice, left) = &mut *state;
        for (trouble, left) in troubles.iter().zip(left) {
            let meets = *left > 0 && trouble.victim.is(asked);
            if meets && dice.number() % 1000 < trouble.often {
                *left -= 1;
                return Some(trouble.kind.fault(dice, asked));
            }
        }
        None
    }
}
