//! What AWS says when it refuses, as an error of the registry it is about.

use aws_sdk_ecr::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use mirror_failure::{RequestError, without_secrets};

/// Codes that go away by waiting, though their status is 400:
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html>.
const THROTTLED: [&str; 4] =
    ["ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"];
/// Codes that mean "not with these credentials".
const DENIED: [&str; 3] = ["AccessDeniedException", "AccessDenied", "UnauthorizedOperation"];
/// Codes that mean "these are no credentials".
const UNKNOWN: [&str; 6] = [
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "ExpiredTokenException",
    "ExpiredToken",
    "InvalidClientTokenId",
    "MissingAuthenticationTokenException",
];
/// What token services say when they have a problem of their own.
const PASSING: [&str; 7] = [
    "Throttl",
    "TooManyRequests",
    "ServiceUnavailable",
    "InternalFailure",
    "InternalError",
    "timed out",
    "IDPCommunicationError",
];
/// What the credential chain looks at, in its order.
const CHAIN: &str = "looked for AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile in AWS_PROFILE or `default` \
    in ~/.aws, AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN (GitHub OIDC), \
    AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI, and the role of an EC2 instance";

/// Says what AWS refused: `action` as IAM calls it, on `resource`.
pub(crate) fn translate<E>(
    action: &str,
    resource: &str,
    error: SdkError<E, HttpResponse>,
) -> RequestError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let request = format!("{action} on {resource}");
    let text = reasons(&error);
    match &error {
        SdkError::ServiceError(refusal) => {
            let code = error.code().unwrap_or_default().to_owned();
            let message = error.message().map(str::to_owned);
            let status = refusal.raw().status().as_u16();
            let (status, message) = if THROTTLED.contains(&code.as_str()) {
                (429, message)
            } else if DENIED.contains(&code.as_str()) {
                let text = message.unwrap_or_default();
                let more = format!("{text}; the role needs {action} on {resource}");
                (403, Some(more))
            } else if UNKNOWN.contains(&code.as_str()) {
                let text = message.unwrap_or_default();
                let clock = if text.contains("Signature not yet current")
                    || text.contains("Signature expired")
                {
                    "; is the clock of this machine right?"
                } else {
                    "; log in to AWS anew"
                };
                (401, Some(format!("{text}{clock}")))
            } else {
                (status, message)
            };
            RequestError::refused(request, status, Some(code), message)
        }
        SdkError::DispatchFailure(failure) if failure.is_timeout() || failure.is_io() => {
            RequestError::broken(request, text)
        }
        SdkError::TimeoutError(_) => RequestError::broken(request, "AWS did not answer in time"),
        // A role could not be taken at this moment.
        _ if PASSING.iter().any(|word| text.contains(word)) => RequestError::broken(request, text),
        _ if text.contains("redential") || text.contains("AssumeRole") => {
            if means_nobody(&text) {
                let why = format!("there are no AWS credentials: {CHAIN}");
                return RequestError::without_credentials(request, why);
            }
            // What a `credential_process` complains of may have what it should have given.
            let text = match text.split_once("Stderr:") {
                Some((before, said)) => format!("{before}Stderr: {}", without_secrets(said)),
                None => text,
            };
            RequestError::unusable(request, format!("the AWS credentials can't be used: {text}"))
        }
        _ => RequestError::broken(request, text),
    }
}

/// Whether a failure of the credential chain means that nobody has any. The metadata of an instance are asked last: that they
/// fail means that nobody else knew any. Other clouds' machines, GitHub's among them, have something else at that address.
pub(crate) fn means_nobody(text: &str) -> bool {
    let missing = ["no credentials found", "no providers in chain", "IMDS", "imds"];
    missing.iter().any(|words| text.contains(words))
}

/// The error and what caused it, from the outside in, each said once.
pub(crate) fn reasons(error: &(dyn std::error::Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !said.iter().any(|earlier| earlier.contains(&text)) {
            said.push(text);
        }
        next = error.source();
    }
    said.join(": ")
}
