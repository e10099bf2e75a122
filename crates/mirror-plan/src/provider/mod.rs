//! What stands behind the name of a registry, and what that allows and keeps beside the protocol. The planner asks
//! [`Provider`]; which cloud it is shows in this folder alone.

pub mod ecr;
pub(crate) mod rules;
pub(crate) mod setting;

use mirror_oci::{Endpoint, Registry, Repository, Tag};
use serde_json::Value;

pub use rules::RepositoryRules;
pub use setting::{Setting, SettingChange, SettingRow, Settings};

use self::ecr::registry::{EcrRegistry, is_ecr_public, login_belongs_to};
use self::ecr::settings::{SETTINGS, is_immutable, name_problem};

/// What stands behind the name of a registry.
///
/// ```
/// use mirror_plan::provider::{Provider, Setting};
/// use serde_json::json;
///
/// let ecr = Provider::of(&"123456789012.dkr.ecr.eu-west-1.amazonaws.com".parse()?);
/// assert!(ecr.setting(Setting::Encryption).is_some_and(|row| row.is_fixed));
/// let wanted = [(Setting::ScanOnPush, json!(true))].into();
/// assert_eq!(ecr.changes(&wanted, &wanted), []);
/// assert_eq!(ecr.changes(&wanted, &Default::default()).len(), 1);
/// assert!(!ecr.login_belongs_to(&"https://proxy.example.com".parse()?));
/// assert!(Provider::of(&"quay.io".parse()?).settings().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// Nothing that is known.
    Plain,
    /// Amazon ECR: one account in one region.
    Ecr(EcrRegistry),
    /// Amazon's public registry, to read from.
    EcrPublic,
}

impl Provider {
    /// Recognises a registry by its name.
    pub fn of(registry: &Registry) -> Provider {
        if is_ecr_public(registry) {
            return Provider::EcrPublic;
        }
        EcrRegistry::of(registry).map_or(Provider::Plain, Provider::Ecr)
    }

    /// Why it has no repository of this name, though the specification allows it.
    pub(crate) fn name_problem(&self, repository: &Repository) -> Option<String> {
        match self {
            Provider::Ecr(_) => name_problem(repository),
            Provider::Plain | Provider::EcrPublic => None,
        }
    }

    /// The settings that it keeps for a repository.
    pub fn settings(&self) -> &'static [SettingRow] {
        match self {
            Provider::Ecr(_) => SETTINGS,
            Provider::Plain | Provider::EcrPublic => &[],
        }
    }

    /// How it keeps a setting.
    pub fn setting(&self, setting: Setting) -> Option<&'static SettingRow> {
        self.settings().iter().find(|row| row.setting == setting)
    }

    /// What differs, compared by meaning and not by text.
    pub fn changes(&self, wanted: &Settings, found: &Settings) -> Vec<SettingChange> {
        let is_same = |setting: &Setting, found: &Value, to: &Value| match self.setting(*setting) {
            Some(row) => (row.is_same)(found, to),
            None => found == to,
        };
        let differing = wanted.iter().filter(|(setting, to)| {
            !found.get(setting).is_some_and(|found| is_same(setting, found, to))
        });
        let change = |(setting, to): (&Setting, &Value)| SettingChange {
            setting: *setting,
            from: found.get(setting).cloned(),
            to: to.clone(),
        };
        differing.map(change).collect()
    }

    /// Whether a setting can't be changed once the repository is there.
    pub(crate) fn is_fixed(&self, setting: Setting) -> bool {
        self.setting(setting).is_some_and(|row| row.is_fixed)
    }

    /// Whether a tag that is there can't become another image in a repository with these settings.
    pub(crate) fn keeps_tag(&self, settings: &Settings, tag: &Tag) -> bool {
        let immutable = self.setting(Setting::ImmutableTags);
        let immutable = immutable.and_then(|row| settings.get(&row.setting));
        immutable.is_some_and(|immutable| is_immutable(immutable, tag.as_str()))
    }

    /// Whether it is known to refuse an index without all of its children, as `PutImage` does with
    /// `ReferencedImagesNotFoundException`: <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html>.
    pub(crate) fn refuses_sparse_indexes(&self) -> bool {
        !matches!(self, Provider::Plain)
    }

    /// Whether nobody gets in without credentials.
    pub(crate) fn is_private(&self) -> bool {
        matches!(self, Provider::Ecr(_))
    }

    /// Whether a login that it makes for us may be sent to `endpoint`; it makes none where nothing is known of it.
    pub fn login_belongs_to(&self, endpoint: &Endpoint) -> bool {
        match self {
            Provider::Plain => false,
            Provider::Ecr(registry) => login_belongs_to(Some(registry), endpoint),
            Provider::EcrPublic => login_belongs_to(None, endpoint),
        }
    }

    /// Why requests for this registry must not go to `endpoint`, and what to write instead.
    pub(crate) fn objection(
        &self,
        registry: &Registry,
        endpoint: &Endpoint,
    ) -> Option<(String, String)> {
        if *self == Provider::Plain || self.login_belongs_to(endpoint) {
            return None;
        }
        let message = format!("{endpoint} is not {registry}: an AWS login must not go there");
        let help = "use https and a name that AWS has for this registry: its own, FIPS, dual-stack, or that of a VPC \
                    endpoint in its region";
        Some((message, help.to_owned()))
    }
}
