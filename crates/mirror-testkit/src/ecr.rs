//! Amazon ECR: its control plane as a server of its own, in front of test registries that behave like ECR's.
//!
//! One server answers for all regions, as the SDK's endpoint override wants it; the region is in the signature. Rules
//! and messages are those of <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/Welcome.html>.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::ecr_calls::{self, Refusal};
use crate::ecr_state::ACCOUNT;
use crate::profile::Profile;
use crate::registry::Registry;
use crate::server::Server;
use crate::state::State;

/// A call of the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsCall {
    /// The region.
    pub region: String,
    /// `ecr:DescribeRepositories` and so on.
    pub action: String,
    /// The repository it was about, if any.
    pub repository: Option<String>,
    /// Repositories that it names, where it is about several.
    pub names: Vec<String>,
}

type Rule = Box<dyn Fn(&AwsCall) -> Option<(u16, &'static str, &'static str)> + Send + Sync>;

struct Plane {
    regions: BTreeMap<String, Arc<State>>,
    calls: Mutex<Vec<AwsCall>>,
    refusals: Mutex<Option<Rule>>,
}

/// A running account. It stops when it is dropped.
pub struct FakeEcr {
    registries: BTreeMap<String, Registry>,
    plane: Arc<Plane>,
    endpoint: String,
    _server: Option<Server>,
}

impl FakeEcr {
    /// Starts the account with a registry in each region.
    pub fn start(regions: &[&str]) -> FakeEcr {
        let mut account = FakeEcr::of(regions, |_, profile| Registry::with(profile));
        let plane = account.plane.clone();
        let server = Server::start(move |listener, _| serve(listener, plane));
        account.endpoint = format!("http://{}", server.address);
        account._server = Some(server);
        account
    }

    /// The account without servers: requests are handed to [`FakeEcr::answer`], and those for a registry to that.
    pub fn without_server(regions: &[&str]) -> FakeEcr {
        FakeEcr::of(regions, |region, profile| {
            Registry::without_server(profile, &FakeEcr::name(region))
        })
    }

    fn of(regions: &[&str], registry: impl Fn(&str, Profile) -> Registry) -> FakeEcr {
        let profile = || Profile { ecr: true, ..Profile::default() };
        let registries: BTreeMap<String, Registry> = regions
            .iter()
            .map(|region| ((*region).to_owned(), registry(region, profile())))
            .collect();
        let states = registries.iter().map(|(region, registry)| (region.clone(), registry.state()));
        let plane = Arc::new(Plane {
            regions: states.collect(),
            calls: Mutex::default(),
            refusals: Mutex::default(),
        });
        FakeEcr { registries, plane, endpoint: String::new(), _server: None }
    }

    /// Answers one call of the control plane.
    pub fn answer(&self, headers: &HeaderMap, body: &[u8]) -> Response<Full<Bytes>> {
        answer(&self.plane, headers, body)
    }

    /// The name that references use.
    pub fn name(region: &str) -> String {
        format!("{ACCOUNT}.dkr.ecr.{region}.amazonaws.com")
    }

    /// The registry of a region.
    pub fn registry(&self, region: &str) -> &Registry {
        &self.registries[region]
    }

    /// Where the control plane listens, for `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The configuration that leads to the registry of a region.
    pub fn endpoint_config(&self, region: &str) -> String {
        let (name, endpoint) = (FakeEcr::name(region), self.registry(region).endpoint());
        format!("[registry.\"{name}\"]\nendpoint = \"{endpoint}\"\n")
    }

    /// Every call since the last time this was asked.
    pub fn take_calls(&self) -> Vec<AwsCall> {
        std::mem::take(&mut self.plane.calls.lock().unwrap())
    }

    /// A password for the registry of a region, as `aws ecr get-login-password` gives it.
    pub fn password(&self, region: &str) -> String {
        let mut store = self.plane.regions[region].store.lock().unwrap();
        let password = format!("password-{}", store.ecr.tokens.len());
        store.ecr.tokens.insert(password.clone(), true);
        password
    }

    /// From now on, refuses those calls for which `rule` has a status, a code and a message.
    pub fn set_refusals(
        &self,
        rule: impl Fn(&AwsCall) -> Option<(u16, &'static str, &'static str)> + Send + Sync + 'static,
    ) {
        *self.plane.refusals.lock().unwrap() = Some(Box::new(rule));
    }

    /// From now on, refuses nothing.
    pub fn clear_refusals(&self) {
        *self.plane.refusals.lock().unwrap() = None;
    }

    /// Makes a repository by hand, with `{"scanOnPush": true}` and the like as in the API.
    pub fn add_repository(&self, region: &str, name: &str, settings: &Value) {
        let mut store = self.plane.regions[region].store.lock().unwrap();
        store.repository(name);
        let kept = ecr_calls::kept(settings);
        store.ecr.repositories.insert(name.to_owned(), kept);
    }

    /// Deletes a repository with everything in it.
    pub fn delete_repository(&self, region: &str, name: &str) {
        let mut store = self.plane.regions[region].store.lock().unwrap();
        store.repositories.remove(name);
        store.ecr.repositories.remove(name);
    }

    /// Lets the account mount blobs between repositories.
    pub fn let_mount(&self, region: &str) {
        self.plane.regions[region].store.lock().unwrap().ecr.mounting = true;
    }

    /// Ends all logins that were given out.
    pub fn expire_logins(&self, region: &str) {
        let mut store = self.plane.regions[region].store.lock().unwrap();
        store.ecr.tokens.values_mut().for_each(|valid| *valid = false);
    }

    /// Puts an image into the archive, where nobody can pull it.
    pub fn archive(&self, region: &str, digest: &mirror_oci::Digest) {
        let mut store = self.plane.regions[region].store.lock().unwrap();
        store.ecr.archived.insert(digest.to_string());
    }

    /// Takes the key away that an image is encrypted with.
    pub fn lose_key(&self, region: &str, digest: &mirror_oci::Digest) {
        let mut store = self.plane.regions[region].store.lock().unwrap();
        store.ecr.keyless.insert(digest.to_string());
    }

    /// The policy and settings that a repository has: lifecycle policy, repository policy, tags.
    pub fn documents(
        &self,
        region: &str,
        name: &str,
    ) -> (Option<String>, Option<String>, Vec<String>) {
        let store = self.plane.regions[region].store.lock().unwrap();
        let kept = store.ecr.repositories[name].clone();
        let tags = kept.tags.iter().map(|(key, value)| format!("{key}={value}"));
        (kept.lifecycle, kept.policy, tags.collect())
    }
}

async fn serve(listener: TcpListener, plane: Arc<Plane>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let plane = plane.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let plane = plane.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.map(http_body_util::Collected::to_bytes);
                    let body = body.unwrap_or_default();
                    Ok::<_, Infallible>(answer(&plane, &parts.headers, &body))
                }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer(plane: &Plane, headers: &HeaderMap, body: &[u8]) -> Response<Full<Bytes>> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // `Credential=AKID/20260101/eu-central-1/ecr/aws4_request`
    let signature = header("authorization").unwrap_or_default();
    let scope: Vec<&str> =
        signature.split("Credential=").nth(1).unwrap_or_default().split('/').collect();
    let (key, region, service) =
        (scope.first().unwrap_or(&""), scope.get(2).unwrap_or(&""), scope.get(3).unwrap_or(&""));
    if *service == "sts" {
        return assume_role(plane, region, body);
    }
    let operation = header("x-amz-target").and_then(|target| target.rsplit('.').next());
    let operation = operation.unwrap_or_default().to_owned();
    let input: Value = serde_json::from_slice(body).unwrap_or_default();
    let repository = input["repositoryName"].as_str().or_else(|| {
        input["resourceArn"]
            .as_str()
            .and_then(|arn| arn.split_once(":repository/"))
            .map(|(_, name)| name)
    });
    let names = input["repositoryNames"].as_array().into_iter().flatten();
    let call = AwsCall {
        region: (*region).to_owned(),
        action: format!("{service}:{operation}"),
        repository: repository.map(str::to_owned),
        names: names.filter_map(Value::as_str).map(str::to_owned).collect(),
    };
    plane.calls.lock().unwrap().push(call.clone());
    let refused = plane.refusals.lock().unwrap().as_ref().and_then(|rule| rule(&call));
    let outcome = if let Some((status, code, message)) = refused {
        Err(Refusal { status, code: code.to_owned(), message: message.to_owned() })
    } else if *key == "WRONG" {
        let message = "The security token included in the request is invalid.";
        Err(Refusal::new("UnrecognizedClientException", message))
    } else if *service == "ecr-public" {
        Ok(
            json!({ "authorizationData": { "authorizationToken": ecr_calls::encoded("public"), "expiresAt": soon() } }),
        )
    } else if let Some(state) = plane.regions.get(*region) {
        let mut store = state.store.lock().unwrap();
        ecr_calls::perform(&operation, &input, &mut store, soon())
    } else {
        Err(Refusal::new("InvalidParameterException", "there is no such region here"))
    };
    match outcome {
        Ok(value) => json_response(200, &value),
        Err(Refusal { status, code, message }) => {
            json_response(status, &json!({ "__type": code, "message": message }))
        }
    }
}

fn json_response(status: u16, value: &Value) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.1")
        .body(Full::new(value.to_string().into()))
        .unwrap()
}

/// `AssumeRole` of STS, for any role but those called `forbidden`.
fn assume_role(plane: &Plane, region: &str, body: &[u8]) -> Response<Full<Bytes>> {
    let call = AwsCall {
        region: region.to_owned(),
        action: "sts:AssumeRole".to_owned(),
        repository: None,
        names: Vec::new(),
    };
    plane.calls.lock().unwrap().push(call);
    let forbidden = String::from_utf8_lossy(body).contains("forbidden");
    let (status, xml) = if forbidden {
        let message = "User is not authorized to perform: sts:AssumeRole";
        let error = format!(
            "<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>{message}</Message></Error>"
        );
        (403, format!("<ErrorResponse>{error}</ErrorResponse>"))
    } else {
        let keys = "<AccessKeyId>ASSUMED</AccessKeyId><SecretAccessKey>x</SecretAccessKey><SessionToken>x</SessionToken>";
        let credentials = format!(
            "<Credentials>{keys}<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
        );
        let user = "<AssumedRoleUser><AssumedRoleId>A:mirror</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/mirror/mirror</Arn></AssumedRoleUser>";
        (
            200,
            format!(
                "<AssumeRoleResponse><AssumeRoleResult>{credentials}{user}</AssumeRoleResult></AssumeRoleResponse>"
            ),
        )
    };
    let response = Response::builder().status(status).header("content-type", "text/xml");
    response.body(Full::new(xml.into())).unwrap()
}

/// Twelve hours from now, in seconds since 1970.
fn soon() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 12 * 3600
}
