//! The environment: the only module that reads it.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mirror_engine::{Stop, Stopper, Surroundings};
use mirror_registry::{CredentialFile, Credentials, Network, Proxies, ProxyError, Secret, Wire};
use mirror_render::ci::System;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

use crate::exit::Exit;

/// What a run stands in, with its spool in this folder.
///
/// # Errors
/// When a variable names a proxy that can't be used.
pub(crate) fn surroundings(spool: &Path) -> Result<Surroundings, ProxyError> {
    Ok(Surroundings::real(network()?, credentials(), spool))
}

/// The way out, for what is no registry.
///
/// # Errors
/// When a variable names a proxy that can't be used.
pub(crate) fn wire() -> Result<Wire, ProxyError> {
    Ok(Wire::internet(network()?))
}

/// The network as the environment describes it: proxies, and where certificates for registries are.
fn network() -> Result<Network, ProxyError> {
    let proxies = Proxies::from_variables(|name| {
        env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    })?;
    const FOLDER: &str = "certs.d";
    let folders = [
        in_home(&format!(".docker/{FOLDER}")),
        in_home(&format!(".config/docker/{FOLDER}")),
        Some(PathBuf::from("/etc/docker").join(FOLDER)),
        in_home(&format!(".config/containers/{FOLDER}")),
        Some(PathBuf::from("/etc/containers").join(FOLDER)),
    ];
    let certificate_folders = folders.into_iter().flatten().collect();
    Ok(Network { proxies, certificate_folders, store_problem: store_problem() })
}

/// What is wrong with the variables that name the store of certificates:
/// <https://docs.rs/rustls-native-certs/latest/rustls_native_certs/fn.load_native_certs.html>.
fn store_problem() -> Option<String> {
    let problem = |name: &str| {
        let value = env::var_os(name)?;
        let missing = env::split_paths(&value).find(|path| !path.exists());
        match (value.is_empty(), missing) {
            (true, _) => Some(format!("{name} is set, to nothing: unset it")),
            (false, missing) => {
                missing.map(|path| format!("{name} names {}, which does not exist", path.display()))
            }
        }
    };
    let problems: Vec<_> =
        ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter_map(problem).collect();
    (!problems.is_empty()).then(|| problems.join("; "))
}

/// Where credentials are kept: `MIRROR_AUTH_<HOST>`, `DOCKER_AUTH_CONFIG`, Docker's `config.json`, podman's `auth.json`.
pub(crate) fn credentials() -> Arc<Credentials> {
    // Variables that are not UTF-8 are not ours.
    let variables = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let variables = variables.filter(|(name, _)| name.starts_with("MIRROR_AUTH_"));
    // Some put there what Docker wants the folder of.
    let is_json = |name: &str, value: &str| match name {
        "DOCKER_CONFIG" => value.trim_start().starts_with('{'),
        _ => !value.trim().is_empty(),
    };
    let names = ["DOCKER_AUTH_CONFIG", "DOCKER_CONFIG"];
    let in_variable = names.into_iter().filter_map(|name| {
        let value = env::var(name).ok().filter(|value| is_json(name, value))?;
        Some(CredentialFile::Variable { name: name.to_owned(), value: Secret::new(value) })
    });
    let files = docker_file().into_iter().chain(podman_files()).map(CredentialFile::Path);
    Arc::new(Credentials::new(variables, in_variable.chain(files).collect()))
}

/// <https://docs.docker.com/reference/cli/docker/#change-the-docker-directory>. The variable names a folder; a file can only
/// be meant as what it is.
fn docker_file() -> Option<PathBuf> {
    match variable("DOCKER_CONFIG") {
        Some(file) if file.is_file() => Some(file),
        Some(json) if json.to_string_lossy().trim_start().starts_with('{') => None,
        Some(folder) => Some(folder.join("config.json")),
        None => in_home(".docker/config.json"),
    }
}

/// <https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md>.
fn podman_files() -> Vec<PathBuf> {
    const FILE: &str = "containers/auth.json";
    if let Some(file) = variable("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    #[cfg(unix)]
    let of_user = || {
        let user = rustix::process::getuid().as_raw();
        PathBuf::from(format!("/run/containers/{user}/auth.json"))
    };
    #[cfg(not(unix))]
    let of_user = PathBuf::new;
    let running = variable("XDG_RUNTIME_DIR").map_or_else(of_user, |folder| folder.join(FILE));
    let kept = variable("XDG_CONFIG_HOME").map(|folder| folder.join(FILE));
    let kept = kept.or_else(|| in_home(&format!(".config/{FILE}")));
    [Some(running), kept].into_iter().flatten().collect()
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn in_home(rest: &str) -> Option<PathBuf> {
    env::home_dir().map(|home| home.join(rest))
}

/// Where to keep blobs on their way: where the next run finds them again.
pub(crate) fn default_spool() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    cache.unwrap_or_else(env::temp_dir).join("mirror-spool")
}

/// Today in UTC, such as `2 Jan 2026`.
pub(crate) fn today() -> String {
    // `Fri, 02 Jan 2026 03:04:05 GMT`
    let now = httpdate::fmt_http_date(std::time::SystemTime::now());
    now.get(5..16).unwrap_or(&now).trim_start_matches('0').to_owned()
}

/// The CI system that we run in.
pub(crate) fn system() -> System {
    match env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        true => System::GitHub,
        false => System::None,
    }
}

/// The file that GitHub Actions shows as the summary of a step, when we run there.
pub(crate) fn step_summary() -> Option<PathBuf> {
    let file = env::var_os("GITHUB_STEP_SUMMARY").filter(|file| !file.is_empty());
    file.filter(|_| system() == System::GitHub).map(PathBuf::from)
}

/// What variables say about GitHub.
pub(crate) struct GitHubVariables {
    pub(crate) token: Option<String>,
    /// Number and private key of an App.
    pub(crate) app: Option<(String, String)>,
    pub(crate) repository: Option<String>,
    pub(crate) api: Option<String>,
}

/// The variables that a workflow has, and those of an App.
pub(crate) fn github() -> GitHubVariables {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
    GitHubVariables {
        token: variable("GITHUB_TOKEN"),
        app: variable("MIRROR_GITHUB_APP_ID").zip(variable("MIRROR_GITHUB_APP_KEY")),
        repository: variable("GITHUB_REPOSITORY"),
        api: variable("GITHUB_API_URL"),
    }
}

/// The folder that the command was started in.
pub(crate) fn current_folder() -> std::io::Result<PathBuf> {
    env::current_dir()
}

/// Sends what the crates tell about their work to standard error. Secrets don't get there: URLs are redacted, and
/// headers are not logged.
pub(crate) fn start_logging(verbose: bool) {
    let filter = if verbose {
        "mirror_registry=debug,mirror_copy=debug,mirror_engine=debug,mirror=debug"
    } else {
        "off"
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .init();
}

/// What a run is told by signals.
pub(crate) struct Signals {
    /// Somebody wants it to end: what is open is closed, and there is a report.
    pub(crate) stop: Stop,
    /// Somebody does not want to wait for that.
    pub(crate) at_once: Stop,
}

/// Listens for Ctrl-C, and whatever else asks us to end: CI sends SIGTERM, a closed terminal SIGHUP. From the start, so that
/// a signal that comes while nobody waits for one is not lost. Needs the runtime.
pub(crate) fn listen_for_signals() -> Signals {
    let ((stopper, stop), (hurry, at_once)) = (Stop::new(), Stop::new());
    let heard = Arc::new(Heard { stopper, hurry, times: Mutex::new(Vec::new()) });
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let Ok(mut signals) = signal(kind) else { continue };
            let heard = heard.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    heard.one_more();
                }
            });
        }
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            heard.one_more();
        }
    });
    Signals { stop, at_once }
}

/// Signals that were heard.
struct Heard {
    stopper: Stopper,
    hurry: Stopper,
    times: Mutex<Vec<Instant>>,
}

/// Signals that come together are one: `timeout` sends two.
const ONE: Duration = Duration::from_millis(300);

impl Heard {
    /// Takes a signal. The first one ends what is done in order, the second one at once, with what is known by then; whoever
    /// sends a third one does not even want that.
    fn one_more(&self) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if times.last().is_some_and(|last| last.elapsed() <= ONE) {
            return;
        }
        times.push(Instant::now());
        match times.len() {
            1 => self.stopper.stop(),
            2 => self.hurry.stop(),
            _ => std::process::exit(Exit::Interrupted as i32),
        }
    }
}
