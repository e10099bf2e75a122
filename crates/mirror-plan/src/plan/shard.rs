//! Shards: parts of a plan for machines that work side by side.

use std::fmt;
use std::str::FromStr;

use mirror_oci::{Algorithm, Digest, Repository};

use crate::plan::model::{Action, Plan};
use crate::want::model::Wants;

/// One part of several, `2/5`.
///
/// ```
/// use mirror_plan::plan::{Shard, busy_shards};
/// # use mirror_plan::plan::{Answers, Draft, Observed};
/// # use mirror_plan::want::{Want, Wants};
/// # let want: Want = serde_json::from_value(serde_json::json!({
/// #     "file": "docker.io/library/redis/Dockerfile", "source": "docker.io/library/redis:7.2",
/// #     "source_registry": "docker.io", "destination": "prod", "location": {"registry": "registry.example.com"},
/// #     "repository": "docker.io/library/redis", "tag": "7.2",
/// # }))?;
/// # let digest = mirror_oci::Digest::of(mirror_oci::Algorithm::Sha256, b"a manifest");
/// # let wants = Wants { wants: vec![want.clone()], ..Wants::default() };
/// # let mut observed = Observed::default();
/// # observed.sources.insert(want.source.clone(), Ok(digest));
/// # observed.targets.insert(want.target.clone(), Ok(mirror_plan::plan::Presence::Absent));
/// # let plan = Draft::new(&wants, observed).settle(&Answers::default());
/// # let all = wants.clone();
/// let mine = Shard::of("prod", &"docker.io/library/redis".parse()?, 5);
/// let other: Shard = (1..=5).map(|number| Shard { number, of: 5 }).find(|shard| *shard != mine).unwrap();
/// assert_eq!(busy_shards(&plan, 5), [mine]);
/// assert_eq!((mine.part(plan.clone()), other.part(plan.clone()).actions.len()), (plan, 0));
/// assert_eq!((mine.take(all.clone()), other.take(all.clone()).wants.len()), (all, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1 on.
    pub number: u32,
    /// Of how many; a matrix of GitHub has 256 jobs at most.
    pub of: u32,
}

/// Most jobs in a matrix:
/// <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstrategymatrix>.
pub const MOST_SHARDS: u32 = 256;

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let wrong = || format!("write NUMBER/OF, such as 2/5, up to {MOST_SHARDS}");
        let (number, of) = text.split_once('/').ok_or_else(wrong)?;
        let (number, of) = (number.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
        if (1..=of).contains(&number) && of <= MOST_SHARDS {
            return Ok(Shard { number, of });
        }
        Err(wrong())
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl Shard {
    /// Where a repository of a destination belongs. All of a repository is in one shard, so that two machines don't make it
    /// or fight over its tags. The hash is frozen: machines of different versions must agree.
    pub fn of(destination: &str, repository: &Repository, of: u32) -> Shard {
        let text = format!("{destination}\0{repository}");
        let digest = Digest::of(Algorithm::Sha256, text.as_bytes());
        let head = digest.hex().get(..15).and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let number = head.unwrap_or_default() % u64::from(of.max(1));
        Shard { number: u32::try_from(number).unwrap_or_default() + 1, of }
    }

    /// The part of a plan that is this shard's.
    pub fn part(self, mut plan: Plan) -> Plan {
        let mine = |destination: &str, repository: &Repository| {
            Shard::of(destination, repository, self.of) == self
        };
        plan.actions.retain(|action| match action {
            Action::Copy(copy) => mine(&copy.want.target.destination, &copy.want.target.repository),
            Action::CreateRepository(action) | Action::UpdateRepository(action) => {
                mine(&action.at.destination, &action.at.repository)
            }
        });
        plan.unchanged
            .retain(|item| mine(&item.want.target.destination, &item.want.target.repository));
        plan.failures
            .retain(|failed| mine(&failed.want.target.destination, &failed.want.target.repository));
        if self.number != 1 {
            plan.conflicts.clear();
        }
        plan.totals = plan.tally(None);
        plan
    }

    /// The part of the wants that is this shard's. What can't be done anyhow is told by the first.
    pub fn take(self, mut all: Wants) -> Wants {
        let mine = |destination: &str, repository: &Repository| {
            Shard::of(destination, repository, self.of) == self
        };
        all.wants.retain(|want| mine(&want.target.destination, &want.target.repository));
        all.repositories.retain(|want| mine(&want.at.destination, &want.at.repository));
        if self.number != 1 {
            all.collisions.clear();
        }
        all
    }
}

/// The shards of a plan that have something to do or to tell, of `of`: a look-up that failed is told by the one that
/// would have copied, conflicts by the first.
pub fn busy_shards(plan: &Plan, of: u32) -> Vec<Shard> {
    let copies =
        plan.copies().map(|copy| (&copy.want.target.destination, &copy.want.target.repository));
    let repositories =
        plan.repositories().map(|(_, action)| (&action.at.destination, &action.at.repository));
    let failures = plan
        .failures
        .iter()
        .map(|failed| (&failed.want.target.destination, &failed.want.target.repository));
    let owed =
        plan.owed().map(|item| (&item.want.target.destination, &item.want.target.repository));
    let mut shards: Vec<Shard> = copies
        .chain(repositories)
        .chain(failures)
        .chain(owed)
        .map(|(destination, repository)| Shard::of(destination, repository, of))
        .collect();
    if !plan.conflicts.is_empty() {
        shards.push(Shard { number: 1, of });
    }
    shards.sort_unstable_by_key(|shard| shard.number);
    shards.dedup();
    shards
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        // These never change: machines of different versions work on one plan.
        for (destination, repository, of, number) in [
            ("prod", "docker.io/library/postgres", 2, 2),
            ("prod", "docker.io/library/postgres", 5, 4),
            ("prod", "docker.io/library/redis", 5, 2),
            ("prod", "quay.io/prometheus/prometheus", 5, 4),
            ("backup", "docker.io/library/postgres", 5, 4),
            ("prod", "docker.io/library/postgres", 256, 224),
        ] {
            let shard = Shard::of(destination, &repository.parse().unwrap(), of);
            assert_eq!(shard.number, number, "{destination} {repository} {of}");
        }
    }

    #[test]
    fn spelled() {
        assert_eq!("2/5".parse(), Ok(Shard { number: 2, of: 5 }));
        assert_eq!("1/1".parse::<Shard>().unwrap().to_string(), "1/1");
        for wrong in ["", "2", "0/5", "6/5", "1/0", "1/257", "-1/5", "1/5/6", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn everything_is_in_exactly_one(name in "[a-z0-9]{1,12}(/[a-z0-9]{1,12}){0,3}", of in 1u32..=256) {
            let repository: Repository = name.parse().unwrap();
            let holders = (1..=of).filter(|number| Shard::of("prod", &repository, of).number == *number);
            proptest::prop_assert_eq!(holders.count(), 1);
        }
    }
}
