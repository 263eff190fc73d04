//! Sockets and TLS: how we listen, how we connect, and what a stream must be able to do beside reading and writing.
//!
//! A tool for the rooms above; it knows nothing of services, pools or requests.
pub mod descriptors;
pub mod dial;
pub mod http2;
pub mod listen;
mod own_address;
pub mod socket;
pub mod stream;
pub mod tls;
pub mod transport;

pub use descriptors::{DescriptorBudget, PipePermit, UpstreamPermit, WorkerDescriptors};
pub use dial::{Connector, DialError};
pub use listen::{BindError, bind};
pub use own_address::is_own_address;
pub use socket::Socket;
pub use stream::Stream;
pub use transport::Transport;
