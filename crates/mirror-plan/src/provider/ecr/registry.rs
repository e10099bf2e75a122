//! Amazon ECR's registries: their names, and where a login at one of them may go.

use mirror_oci::{Endpoint, Registry};

/// Ends of names in each partition, <https://docs.aws.amazon.com/general/latest/gr/ecr.html>; those of the partitions
/// that are not public are the ones that Amazon's credential helper knows:
/// <https://github.com/awslabs/amazon-ecr-credential-helper/blob/main/ecr-login/api/client.go>.
const DOMAINS: [&str; 7] = [
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".amazonaws.eu",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
    ".cloud.adc-e.uk",
    ".csp.hci.ic.gov",
];
/// The same for names that have addresses of both kinds.
const DUAL_STACK: [&str; 3] =
    [".on.aws", ".on.amazonwebservices.com.cn", ".on.amazonwebservices.eu"];

/// A private registry of Amazon ECR: one account in one region.
///
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html>,
/// <https://docs.aws.amazon.com/general/latest/gr/ecr.html>
///
/// ```
/// use mirror_plan::provider::ecr::EcrRegistry;
///
/// let name = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn".parse()?;
/// let registry = EcrRegistry::of(&name).ok_or("it is one of ECR's")?;
/// assert_eq!(registry.partition(), "aws-cn");
/// assert_eq!(registry.arn("app/*"), "arn:aws-cn:ecr:cn-north-1:123456789012:repository/app/*");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EcrRegistry {
    /// The twelve digits of the account.
    pub account: String,
    /// The AWS region, such as `eu-central-1`.
    pub region: String,
    /// Whether the name is one of a FIPS endpoint.
    pub fips: bool,
    /// Whether the name is one of an endpoint with IPv6.
    pub dual_stack: bool,
}

impl EcrRegistry {
    /// Recognises `<account>.dkr.ecr.<region>.amazonaws.com` and its FIPS and dual-stack forms, in each partition.
    pub fn of(registry: &Registry) -> Option<EcrRegistry> {
        let name = registry.as_str();
        let (account, rest) = name.split_once('.')?;
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (service, rest, dual_stack) = match rest.strip_prefix("dkr.") {
            Some(rest) => {
                let (service, rest) = rest.split_once('.')?;
                (service, rest, false)
            }
            None => {
                let (service, rest) = rest.strip_prefix("dkr-")?.split_once('.')?;
                (service, rest, true)
            }
        };
        let domains: &[&str] = if dual_stack { &DUAL_STACK } else { &DOMAINS };
        let region = domains.iter().find_map(|domain| rest.strip_suffix(domain))?;
        let fips = match service {
            "ecr" => false,
            "ecr-fips" => true,
            _ => return None,
        };
        let whole = !region.is_empty()
            && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let (account, region) = (account.to_owned(), region.to_owned());
        whole.then_some(EcrRegistry { account, region, fips, dual_stack })
    }

    /// The partition of ARNs in this region.
    pub fn partition(&self) -> &'static str {
        let prefixes = [
            ("cn-", "aws-cn"),
            ("us-gov-", "aws-us-gov"),
            ("us-iso-", "aws-iso"),
            ("us-isob-", "aws-iso-b"),
            ("eu-isoe-", "aws-iso-e"),
            ("us-isof-", "aws-iso-f"),
            ("eusc-", "aws-eusc"),
        ];
        let found = prefixes.iter().find(|(prefix, _)| self.region.starts_with(prefix));
        found.map_or("aws", |(_, partition)| partition)
    }

    /// The ARN of repositories, whose name may hold `*`.
    pub fn arn(&self, repository: &str) -> String {
        let (partition, region, account) = (self.partition(), &self.region, &self.account);
        format!("arn:{partition}:ecr:{region}:{account}:repository/{repository}")
    }
}

/// Whether this is the public registry of Amazon, <https://docs.aws.amazon.com/AmazonECR/latest/public/>.
pub(crate) fn is_ecr_public(registry: &Registry) -> bool {
    matches!(registry.as_str(), "public.ecr.aws" | "ecr-public.aws.com")
}

/// Whether a login at a registry, the public one if none is given, may be sent to `endpoint`: by TLS to a name that AWS has
/// for this very registry, or to this machine. A login holds for everything that its role may do, and for twelve hours.
pub(crate) fn login_belongs_to(registry: Option<&EcrRegistry>, endpoint: &Endpoint) -> bool {
    let authority = endpoint.authority();
    if authority.is_loopback() {
        return true;
    }
    if !endpoint.is_secure() || endpoint.port() != 443 {
        return false;
    }
    let Ok(host) = authority.host().parse::<Registry>() else { return false };
    let Some(registry) = registry else { return is_ecr_public(&host) };
    match EcrRegistry::of(&host) {
        Some(other) => (&other.account, &other.region) == (&registry.account, &registry.region),
        None => vpc_endpoint_region(host.as_str()) == Some(&registry.region),
    }
}

/// The region of an interface endpoint for ECR in somebody's VPC,
/// `vpce-0123-abcd.dkr.ecr.eu-central-1.vpce.amazonaws.com`:
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html>.
fn vpc_endpoint_region(host: &str) -> Option<&str> {
    let (id, rest) = host.split_once('.')?;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !id.starts_with("vpce-") || !plain(id) {
        return None;
    }
    let rest = rest.strip_prefix("dkr.ecr.").or_else(|| rest.strip_prefix("dkr.ecr-fips."))?;
    let (region, domain) = rest.split_once('.')?;
    let domain = domain.strip_prefix("vpce")?;
    (DOMAINS.contains(&domain) && plain(region)).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ecr(name: &str) -> Option<(String, String, bool, bool)> {
        EcrRegistry::of(&name.parse().unwrap())
            .map(|ecr| (ecr.account, ecr.region, ecr.fips, ecr.dual_stack))
    }

    #[test]
    fn registries() {
        let known = |region: &str, fips, dual| {
            Some(("123456789012".to_owned(), region.to_owned(), fips, dual))
        };
        for (name, expected) in [
            (
                "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
                known("eu-central-1", false, false),
            ),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", known("cn-north-1", false, false)),
            ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", known("us-east-1", true, false)),
            ("123456789012.dkr-ecr.eu-west-1.on.aws", known("eu-west-1", false, true)),
            ("123456789012.dkr-ecr-fips.us-east-2.on.aws", known("us-east-2", true, true)),
            (
                "123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
                known("cn-north-1", false, true),
            ),
            ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", known("us-iso-east-1", false, false)),
            (
                "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
                known("eusc-de-east-1", false, false),
            ),
            ("12345678901.dkr.ecr.eu-central-1.amazonaws.com", None),
            ("123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example", None),
            ("123456789012.dkr.ecr.amazonaws.com", None),
            ("123456789012.dkr.s3.eu-central-1.amazonaws.com", None),
            ("public.ecr.aws", None),
        ] {
            assert_eq!(ecr(name), expected, "{name}");
        }
        let arn = |name: &str| EcrRegistry::of(&name.parse().unwrap()).unwrap().arn("a/*");
        assert_eq!(
            arn("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"),
            "arn:aws-cn:ecr:cn-north-1:123456789012:repository/a/*"
        );
        assert!(
            arn("123456789012.dkr.ecr.us-gov-west-1.amazonaws.com").starts_with("arn:aws-us-gov:")
        );
    }

    #[test]
    fn logins_go_to_aws_alone() {
        let goes = |registry: &str, endpoint: &str| {
            let registry = EcrRegistry::of(&registry.parse().unwrap());
            login_belongs_to(registry.as_ref(), &endpoint.parse().unwrap())
        };
        let private = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
        for (endpoint, expected) in [
            ("https://123456789012.dkr.ecr.eu-central-1.amazonaws.com", true),
            ("https://123456789012.dkr.ecr.eu-central-1.amazonaws.com:443", true),
            ("https://123456789012.dkr.ecr-fips.eu-central-1.amazonaws.com", true),
            ("https://123456789012.dkr-ecr.eu-central-1.on.aws", true),
            ("https://123456789012.dkr-ecr-fips.eu-central-1.on.aws", true),
            ("https://vpce-0a1-b2c3.dkr.ecr.eu-central-1.vpce.amazonaws.com", true),
            (
                "https://vpce-0a1-b2c3-eu-central-1a.dkr.ecr-fips.eu-central-1.vpce.amazonaws.com",
                true,
            ),
            ("http://127.0.0.1:5000", true),
            ("http://localhost:5000", true),
            ("http://[::1]:5000", true),
            ("http://123456789012.dkr.ecr.eu-central-1.amazonaws.com", false),
            ("https://123456789012.dkr.ecr.eu-central-1.amazonaws.com:8443", false),
            ("https://210987654321.dkr.ecr.eu-central-1.amazonaws.com", false),
            ("https://123456789012.dkr.ecr.eu-west-1.amazonaws.com", false),
            ("https://vpce-0a1-b2c3.dkr.ecr.eu-west-1.vpce.amazonaws.com", false),
            ("https://vpce-0a1.vpce-svc-1.eu-central-1.vpce.amazonaws.com", false),
            ("https://vpce-0a1.dkr.ecr.eu-central-1.vpce.amazonaws.com.evil.example", false),
            ("https://vpce-0a1.dkr.ecr.eu-central-1.vpcex.amazonaws.com", false),
            ("https://vpce-0a1.evil.dkr.ecr.eu-central-1.vpce.amazonaws.com", false),
            ("https://ec2-192-0-2-1.eu-central-1.compute.amazonaws.com", false),
            ("https://evil.s3.eu-central-1.amazonaws.com", false),
            ("https://public.ecr.aws", false),
            ("https://localhost.evil.example", false),
            ("https://10.0.0.1", false),
            ("https://evil.example", false),
        ] {
            assert_eq!(goes(private, endpoint), expected, "{endpoint}");
        }
        let china = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn";
        assert!(goes(china, "https://vpce-0a1.dkr.ecr.cn-north-1.vpce.amazonaws.com.cn"));
        assert!(goes(china, "https://123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn"));
        let public = "public.ecr.aws";
        assert!(
            goes(public, "https://public.ecr.aws") && goes(public, "https://ecr-public.aws.com")
        );
        assert!(goes(public, "http://127.0.0.1:1") && !goes(public, "http://public.ecr.aws"));
        assert!(
            !goes(public, "https://evil.example") && !goes(public, &format!("https://{private}"))
        );
    }
}
