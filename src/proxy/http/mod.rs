//! Layer 7.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::worker::Worker;
use crate::routing::ListenerView;

/// Serves.
pub async fn serve_connection(_: &Rc<Worker>, _: Arc<ListenerView>, _: TcpStream, _: SocketAddr) {}
