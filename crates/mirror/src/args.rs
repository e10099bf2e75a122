//! Arguments that several commands share.

use clap::{Args, ValueEnum};
use mirror_oci::Name;
use mirror_plan::want::ImageGlob;

/// A choice among the images of the tree.
#[derive(Debug, Args)]
pub(crate) struct Only {
    /// Only images that match, such as `docker.io/library/*` or `postgres` for short. Can be repeated.
    #[arg(long, value_name = "GLOB")]
    pub(crate) only: Vec<ImageGlob>,
}

impl Only {
    /// Whether this image is chosen.
    pub(crate) fn includes(&self, name: &Name) -> bool {
        self.only.is_empty() || self.only.iter().any(|glob| glob.matches(name))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For scripts.
    Json,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PageFormat {
    /// For people.
    #[default]
    Text,
    /// For scripts.
    Json,
    /// Markdown, shortened to fit a GitHub comment.
    Markdown,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// Bars on a terminal, lines elsewhere.
    #[default]
    Auto,
    /// Bars.
    Bars,
    /// One line for each finished image.
    Lines,
    /// One JSON object a line.
    Json,
}

/// A bot that proposes new versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BotArgument {
    /// `.github/dependabot.yml`
    Dependabot,
    /// `renovate.json`
    Renovate,
}

impl From<BotArgument> for mirror_tree::Bot {
    fn from(bot: BotArgument) -> mirror_tree::Bot {
        match bot {
            BotArgument::Dependabot => mirror_tree::Bot::Dependabot,
            BotArgument::Renovate => mirror_tree::Bot::Renovate,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnLimitArgument {
    /// Leave the remaining images for another run, list them, and end with code 6.
    #[default]
    Defer,
    /// Wait until the registry serves pulls again.
    Wait,
}

impl From<OnLimitArgument> for mirror_engine::passes::OnLimit {
    fn from(said: OnLimitArgument) -> Self {
        match said {
            OnLimitArgument::Defer => Self::Defer,
            OnLimitArgument::Wait => Self::Wait,
        }
    }
}
