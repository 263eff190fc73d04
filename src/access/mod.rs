//! Authorization: which actor may do what. Pure: credentials, grants and acts in, a permit or a refusal out.
//!
//! * [`role`]: the roles and their rights, as one table;
//! * [`scope`]: the services that a grant covers;
//! * [`permit`]: [`authorise`], the one way from an act to a [`Permit`];
//! * [`token`]: bearer tokens: their text, their secret, their hash;
//! * [`tokens_file`]: the file that lists them;
//! * [`failures`]: failing answers by source, so that guessing is slow and a good credential is never locked out.
pub mod failures;
pub mod permit;
pub mod role;
pub mod scope;
pub mod token;
pub mod tokens_file;

pub use failures::{FailureLimit, FailureTable};
pub use permit::{Denied, Grant, Permit, authorise, authorise_right};
pub use role::{Right, Role};
pub use scope::{ScopeError, ServiceScope};
pub use token::{BearerToken, TokenError};
pub use tokens_file::{TokenEntry, TokensFile, TokensFileError};
