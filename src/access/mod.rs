//! Authorization: which actor may do what. Pure: credentials, grants and acts in, a permit or a refusal out.
//!
//! * [`role`]: the roles and their rights, as one table;
//! * [`scope`]: the services that a grant covers;
//! * [`permit`]: [`authorise`], the one way from an act to an [`ActPermit`];
//! * [`token`]: bearer tokens: their text, their secret, their hash;
//! * [`tokens_file`]: the file that lists them;
//! * [`jwt`]: JSON web tokens of workload identities; [`jwt_issuer`]: their issuers, and what subjects may do; [`jwks`]: the keys
//!   that they are verified with;
//! * [`failures`]: failing answers by source, so that guessing is slow and a good credential is never locked out.
pub mod failures;
mod json_object;
pub mod jwks;
pub mod jwt;
pub mod jwt_issuer;
pub mod permit;
pub mod role;
pub mod scope;
pub mod token;
pub mod tokens_file;

pub use failures::{FailureLimit, FailureTable};
pub use jwks::{KeySet, KeySetError};
pub use jwt::{JwtFault, JwtIdentity, UnverifiedJwt};
pub use jwt_issuer::JwtIssuer;
pub use permit::{ActPermit, Denied, Grant, authorise, authorise_right, right_of};
pub use role::{Right, Role};
pub use scope::{ScopeError, ServiceScope};
pub use token::{BearerToken, TokenError};
pub use tokens_file::{TokenEntry, TokensFile, TokensFileError};
