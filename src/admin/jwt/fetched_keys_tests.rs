//! Keys from a server on loopback, over HTTP and HTTPS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::super::fetch::KeyFetcher;
use super::*;
use crate::access::jwks::LARGEST_SET;

const ONE: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// A server on loopback that gives each request the answer that is set.
struct Issuer {
    address: SocketAddr,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    fn start(answer: String, tls: Option<Arc<rustls::ServerConfig>>) -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = Issuer {
            address: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(answer)),
            asked: Arc::default(),
        };
        let (answer, asked) = (Arc::clone(&issuer.answer), Arc::clone(&issuer.asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                asked.fetch_add(1, Ordering::SeqCst);
                let answer = answer.lock().unwrap().clone();
                // A client that does not trust the certificate goes away.
                let _ = match &tls {
                    None => exchange(stream, &answer),
                    Some(tls) => {
                        let connection = rustls::ServerConnection::new(Arc::clone(tls)).unwrap();
                        exchange(rustls::StreamOwned::new(connection, stream), &answer)
                    }
                };
            }
        });
        issuer
    }

    fn says(&self, answer: String) {
        *self.answer.lock().unwrap() = answer;
    }

    fn url(&self, scheme: &str) -> JwksUrl {
        JwksUrl { url: format!("{scheme}://localhost:{}/keys?a=b", self.address.port()), ca: None }
    }
}

fn exchange(mut stream: impl Read + Write, answer: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("GET /keys?a=b HTTP/1.1\r\nhost: localhost:"), "{head}");
    stream.write_all(answer.as_bytes())?;
    stream.flush()
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

#[test]
fn what_is_no_answer_is_told() {
    let issuer = Issuer::start(answer("200 OK", ONE), None);
    let fetch = || run(KeyFetcher::new(issuer.url("http")).fetch());
    assert_eq!(fetch().as_deref(), Ok(ONE.as_bytes()));
    for (said, problem) in [
        (answer("404 Not Found", ONE), "it answered 404"),
        (answer("302 Found\r\nLocation: /other", ""), "it answered 302"),
        (answer("200 OK", &" ".repeat(LARGEST_SET + 1)), "cannot be read"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_owned(), "cannot be read"),
        ("SSH-2.0-OpenSSH\r\n\r\n".to_owned(), "the exchange failed"),
        (String::new(), "the exchange failed"),
    ] {
        issuer.says(said.clone());
        let told = fetch().unwrap_err();
        assert!(told.contains(problem), "{said:.40}: {told}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = JwksUrl { url: format!("http://{closed}/"), ca: None };
    assert!(run(KeyFetcher::new(url).fetch()).unwrap_err().contains("refused"));
}

#[test]
fn over_tls_the_certificate_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (own, other) = (made("localhost"), made("issuer.example"));
    let server = |made: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        let certificate = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(builder.with_single_cert(vec![certificate], key).unwrap())
    };
    let issuer = Issuer::start(answer("200 OK", ONE), Some(server(&own)));
    let stranger = Issuer::start(answer("200 OK", ONE), Some(server(&other)));
    let (own_ca, other_ca) = (file("own.pem", own.cert.pem()), file("other.pem", other.cert.pem()));
    let fetch = |issuer: &Issuer, ca: &PathBuf| {
        run(KeyFetcher::new(JwksUrl { ca: Some(ca.clone()), ..issuer.url("https") }).fetch())
    };
    assert_eq!(fetch(&issuer, &own_ca).as_deref(), Ok(ONE.as_bytes()));
    for (issuer, ca) in [(&issuer, &other_ca), (&stranger, &other_ca), (&stranger, &own_ca)] {
        let told = fetch(issuer, ca).unwrap_err();
        assert!(told.contains("its certificate is not trusted"), "{told}");
    }
    assert!(fetch(&issuer, &folder.path().join("none.pem")).unwrap_err().contains("none.pem"));
}

#[test]
fn an_unknown_key_has_the_issuer_asked_and_a_failure_keeps_the_keys() {
    let issuer = Issuer::start(answer("200 OK", ONE), None);
    let keys = Arc::new(FetchedKeys::new(issuer.url("http")));
    let told = Arc::new(Mutex::new(Vec::new()));
    run(async {
        let (task, sink) = (Arc::clone(&keys), Arc::clone(&told));
        let task =
            tokio::spawn(async move { task.keep_fresh("i", |trouble| sink.lock().unwrap().push(trouble)).await });
        assert!(keys.current().is_none());
        keys.refresh().await;
        assert_eq!(keys.current().map(|keys| keys.count()), Some(1), "a request waits for the first ones");
        // Not again at once …
        keys.refresh().await;
        assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
        // … but later.
        let later = || {
            let mut schedule = keys.schedule();
            schedule.begins(crate::time::MonoTime::ZERO);
            schedule.succeeds(clock::now());
        };
        later();
        issuer.says(answer("200 OK", &ONE.replace("]}", ", {\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"kid\": \"two\", \"x\": \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}")));
        keys.refresh().await;
        assert_eq!(keys.current().map(|keys| keys.count()), Some(2));
        for bad in [answer("500 Internal Server Error", ""), answer("200 OK", "{\"keys\": 7}"), String::new()] {
            later();
            issuer.says(bad);
            keys.refresh().await;
            assert_eq!(keys.current().map(|keys| keys.count()), Some(2), "the last ones stay");
        }
        assert_eq!(issuer.asked.load(Ordering::SeqCst), 5);
        later();
        issuer.says(answer("200 OK", "{\"keys\": []}"));
        keys.refresh().await;
        assert_eq!(keys.current().map(|keys| keys.count()), Some(0), "they are withdrawn");
        assert_eq!(*told.lock().unwrap(), [const { None }; 6], "not an hour old yet");
        task.abort();
    });
}
