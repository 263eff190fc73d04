//! The assembled proxy as a value: what an embedder starts, changes, drains and stops.

mod support;

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use standfast::config::Config;
use standfast::sys::limits;
use standfast::{App, AppStartError, ReloadError};

/// A listener of this name, answered by a static response; and an admin port.
fn configured(listener: &str, more: &str) -> Config {
    let text = format!(
        "workers: 1\nadmin: {{bind: 127.0.0.1:0}}\n{more}listeners:\n  - name: {listener}\n    bind: 127.0.0.1:0\n    protocol: http\n    \
         routes: [{{service: shop}}]\nservices:\n  shop:\n    protocol: http\n    pools:\n      \
         - {{name: sorry, static_response: \"Back soon.\"}}\n"
    );
    support::plane::parsed(&text)
}

async fn status(address: SocketAddr, path: &str) -> u16 {
    support::Client::connect(address).await.ask(support::get(path, "1")).await.status()
}

#[tokio::test]
async fn it_serves_reloads_drains_and_stops_without_anything_of_the_process() {
    let limit = limits::descriptor_limit();
    let mut app = App::builder(configured("web", "")).start().unwrap();
    app.until_ready().await;
    let (web, admin) = (app.listener_address("web").unwrap(), app.admin_address().unwrap());
    assert_eq!(status(web, "/").await, 503, "the static response");
    assert_eq!(status(admin, "/readyz").await, 200);
    assert!(app.listener_address("other").is_none() && app.metrics_address().is_none());

    let error = app.reload().await.unwrap_err();
    assert!(matches!(error, ReloadError::Control(_)) && error.to_string().contains("without a configuration file"));
    app.apply(configured("other", "")).await.unwrap();
    assert!(app.listener_address("web").is_none());
    let other = app.listener_address("other").unwrap();
    assert_eq!(status(other, "/").await, 503);

    let report = app.drain().await;
    assert_eq!(report.cut, 0);
    assert_eq!(app.drain().await, report, "once");
    assert!(TcpStream::connect(other).is_err());
    assert_eq!(status(admin, "/readyz").await, 503, "the admin port goes on until the stop");
    app.stop().await;
    assert!(TcpStream::connect(admin).is_err());
    assert!(!tracing::dispatcher::has_been_set(), "the subscriber is the embedder's");
    assert_eq!(limits::descriptor_limit(), limit);
}

#[tokio::test]
async fn a_recorder_is_fed_at_once_and_for_the_last_time_at_the_stop() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let hour = Duration::from_secs(3600);
    let app = App::builder(configured("web", "")).recorder(Arc::new(recorder), hour).start().unwrap();
    app.until_ready().await;
    support::until("the first feed", || metrics.render().contains("standfast_build_info{")).await;
    assert_eq!(status(app.listener_address("web").unwrap(), "/").await, 503);
    let answered = "standfast_requests_total{service=\"shop\",code=\"5xx\"} 1";
    assert!(!metrics.render().contains(answered), "the next feed is in an hour");
    app.stop().await;
    assert!(metrics.render().contains(answered), "{}", metrics.render());
}

#[tokio::test]
async fn a_configuration_in_force_may_still_miss_its_access_log() {
    let app = App::builder(configured("web", "")).start().unwrap();
    let error = app.apply(configured("web", "access_log: {path: /nonexistent/access.log}\n")).await.unwrap_err();
    assert!(matches!(error, ReloadError::AccessLog(_)), "{error}");
    assert!(app.config().access_log.is_some() && !app.access_log().writer().enabled());
}

#[tokio::test]
async fn one_that_is_dropped_no_longer_listens() {
    let app = App::builder(configured("web", "")).start().unwrap();
    let web = app.listener_address("web").unwrap();
    let taken = support::plane::parsed(&format!(
        "listeners: [{{name: a, bind: \"{web}\", protocol: tcp, service: s}}]\nservices: {{s: {{protocol: tcp, pools: [{{name: p, endpoints: [\"127.0.0.1:9\"]}}]}}}}\n"
    ));
    let error = App::builder(taken).start().unwrap_err();
    assert!(matches!(error, AppStartError::Control(_)) && error.to_string().contains("already in use"), "{error}");
    drop(app);
    assert!(TcpStream::connect(web).is_err());
}
