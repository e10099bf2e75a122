//! How repositories of a destination are made and kept, as the configuration says.

use mirror_oci::Repository;
use serde_json::Value;

use crate::config::glob::Glob;
use crate::provider::setting::{Setting, Settings};

/// How repositories of a destination are made and kept.
///
/// ```
/// use mirror_plan::config::Config;
/// use mirror_plan::provider::Setting;
///
/// let config = Config::parse(
///     r#"
///     [[destination]]
///     name = "prod"
///     registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
///     ecr.scan_on_push = true
///     "#,
/// )
/// .map_err(|problems| format!("{problems:?}"))?;
/// let rules = config.destinations[0].repositories.as_ref().ok_or("ECR's are made")?;
/// let (create, settings) = rules.of(&"docker.io/library/redis".parse()?);
/// assert!(create && settings[&Setting::ScanOnPush] == true);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryRules {
    pub(crate) base: ProviderRules,
    /// For those whose name the glob matches; where several do, the last one wins, key by key.
    pub(crate) exceptions: Vec<(Glob, ProviderRules)>,
}

/// What is said of some repositories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProviderRules {
    pub(crate) create: Option<bool>,
    pub(crate) settings: Settings,
}

impl RepositoryRules {
    /// Whether a missing repository is made, and with which settings.
    pub fn of(&self, repository: &Repository) -> (bool, Settings) {
        let matching = self.exceptions.iter().filter(|(glob, _)| glob.matches(repository.as_str()));
        let (mut create, mut settings) = (self.base.create, self.base.settings.clone());
        for (_, rules) in matching {
            create = rules.create.or(create);
            settings.extend(rules.settings.clone());
        }
        (create.unwrap_or(true), settings)
    }

    /// Every setting that is made anywhere, with its value.
    pub(crate) fn all_settings(&self) -> impl Iterator<Item = (Setting, &Value)> {
        let exceptions = self.exceptions.iter().map(|(_, rules)| rules);
        let rules = std::iter::once(&self.base).chain(exceptions);
        rules.flat_map(|rules| rules.settings.iter().map(|(setting, value)| (*setting, value)))
    }

    /// Whether any repository may be made.
    pub(crate) fn creates(&self) -> bool {
        let exceptions = self.exceptions.iter().any(|(_, rules)| rules.create == Some(true));
        self.base.create.unwrap_or(true) || exceptions
    }
}
