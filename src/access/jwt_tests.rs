//! Tokens that are believed, and everything that is wrong with others.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use aws_lc_rs::{hmac, signature};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::access::{Role, ServiceScope};
use crate::config::SubjectPattern;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://issuer.example";
const SUBJECT: &str = "repo:acme/shop:ref:refs/heads/main";

enum Signer {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    fn rsa() -> Signer {
        Signer::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")))
    }

    fn ec() -> Signer {
        Signer::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    fn ed() -> Signer {
        Signer::Ed(Ed25519KeyPair::generate().expect("a key"))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Signer::Rsa(_) => "RS256",
            Signer::Ec(_) => "ES256",
            Signer::Ed(_) => "EdDSA",
        }
    }

    /// The modulus. (Of a key with 2048 bits it stands behind nine bytes of DER.)
    fn modulus(key: &RsaKeyPair) -> &[u8] {
        &key.public_key().as_ref()[9..265]
    }

    fn jwk(&self, id: &str) -> Value {
        match self {
            Signer::Rsa(key) => json!({"kty": "RSA", "kid": id, "n": encoded(Signer::modulus(key)), "e": "AQAB"}),
            Signer::Ec(key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "kid": id, "x": encoded(&point[1..33]), "y": encoded(&point[33..])})
            }
            Signer::Ed(key) => json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": encoded(key.public_key())}),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Signer::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let random = SystemRandom::new();
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("a signature");
                signature
            }
            Signer::Ec(key) => key.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec(),
            Signer::Ed(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    fn token_of(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        format!("{signed}.{}", encoded(self.sign(signed.as_bytes())))
    }

    /// With the usual header.
    fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "typ": "JWT", "kid": "one"});
        self.token_of(&header.to_string(), &claims.to_string())
    }
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).expect("a set")
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "standfast", "sub": SUBJECT, "exp": NOW + 300, "nbf": NOW - 10, "iat": NOW - 10})
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

fn issuer() -> JwtIssuer {
    let grant = |role| Grant { role, services: ServiceScope::parse(["shop"]).expect("patterns") };
    let pattern = |text| SubjectPattern::parse(text).expect("a pattern");
    let subjects = vec![(pattern(SUBJECT), grant(Role::Operator)), (pattern("repo:acme/pay:*"), grant(Role::Viewer))];
    JwtIssuer { issuer: ISSUER.to_owned(), audience: "standfast".to_owned(), subjects }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn check(text: &str, keys: &KeySet) -> Result<JwtIdentity, JwtFault> {
    verify(&UnverifiedJwt::parse(text)?, &issuer(), keys, at(NOW))
}

#[track_caller]
fn assert_malformed(result: Result<JwtIdentity, JwtFault>, part: &str) {
    match result {
        Err(JwtFault::Malformed(what)) => assert!(what.contains(part), "{what}"),
        other => panic!("{other:?} instead of {part}"),
    }
}

#[test]
fn a_token_of_each_algorithm_is_believed() {
    for signer in [Signer::rsa(), Signer::ec(), Signer::ed()] {
        let keys = set(&[signer.jwk("one")]);
        let identity = check(&signer.token(&claims()), &keys).expect("it is good");
        assert_eq!((identity.subject.as_str(), identity.grant.role), (SUBJECT, Role::Operator));
        assert_eq!(identity.grant.services.to_string(), "shop");
        assert!(check(&format!("  {}\n", signer.token(&claims())), &keys).is_ok(), "white space around it");
        let list = with("aud", json!(["other", "standfast"]));
        assert!(check(&signer.token(&list), &keys).is_ok(), "one of its audiences");
        assert!(check(&signer.token(&without("nbf")), &keys).is_ok(), "`nbf` may be absent");
        let bare = json!({"alg": signer.algorithm()}).to_string();
        assert!(
            check(&signer.token_of(&bare, &claims().to_string()), &keys).is_ok(),
            "without `kid` every key is tried"
        );
    }
}

#[test]
fn times_count_with_a_minute_of_leeway() {
    let signer = Signer::ed();
    let keys = set(&[signer.jwk("one")]);
    let expired = JwtFault::Expired { subject: SUBJECT.to_owned() };
    let early = JwtFault::NotYetValid { subject: SUBJECT.to_owned() };
    for (claim, value, expected) in [
        ("exp", json!(NOW - 59), None),
        ("exp", json!(NOW - 60), Some(&expired)),
        ("exp", json!(NOW - 61), Some(&expired)),
        ("exp", json!(0), Some(&expired)),
        ("exp", json!((NOW - 59) as f64 + 0.5), None),
        ("nbf", json!(NOW + 59), None),
        ("nbf", json!(NOW + 60), None),
        ("nbf", json!(NOW + 61), Some(&early)),
        ("nbf", json!(NOW as f64 + 60.5), Some(&early)),
    ] {
        let result = check(&signer.token(&with(claim, value.clone())), &keys);
        assert_eq!(result.err().as_ref(), expected, "{claim} {value}");
    }
    for value in [json!("1800000300"), json!(-1), json!(1e300), json!(null), json!([]), json!(u64::MAX), json!(true)] {
        for claim in ["exp", "nbf"] {
            assert_malformed(check(&signer.token(&with(claim, value.clone())), &keys), "is not a time in seconds");
        }
    }
}

#[test]
fn what_a_claim_must_say() {
    let signer = Signer::ed();
    let keys = set(&[signer.jwk("one")]);
    let tried = |claims: Value| check(&signer.token(&claims), &keys);
    for name in ["iss", "aud", "sub", "exp"] {
        assert_malformed(tried(without(name)), &format!("`{name}` is missing"));
    }
    assert_eq!(
        tried(with("iss", "https://issuer.example/")),
        Err(JwtFault::UnknownIssuer("https://issuer.example/".to_owned()))
    );
    for audience in [json!("other"), json!(""), json!([]), json!(["Standfast", "standfast "])] {
        assert_eq!(tried(with("aud", audience.clone())), Err(JwtFault::WrongAudience), "{audience}");
    }
    for audience in [json!(1), json!({"standfast": 1}), json!(["standfast", 1]), json!(null)] {
        assert_malformed(tried(with("aud", audience)), "`aud` is neither");
    }
    for subject in ["repo:acme/shop:pull_request", "repo:acme/shop:ref:refs/heads/main2", "repo:acme/pay", "*"] {
        assert_eq!(tried(with("sub", subject)), Err(JwtFault::NoRole { subject: subject.to_owned() }));
    }
    assert_eq!(tried(with("sub", "repo:acme/pay:x")).map(|identity| identity.grant.role), Ok(Role::Viewer));
    for subject in [String::new(), "a\nb".to_owned(), "a\u{202e}b".to_owned(), "a".repeat(257)] {
        assert_malformed(tried(with("sub", subject)), "`sub` is not a line");
    }
    assert_malformed(tried(with("sub", 7)), "`sub` is missing");
}

#[test]
fn an_unsigned_token_is_never_believed() {
    let signer = Signer::rsa();
    let Signer::Rsa(key) = &signer else { panic!("an RSA key") };
    let keys = set(&[signer.jwk("one")]);
    let claims = claims().to_string();
    for algorithm in ["none", "None", "NONE", "", "HS256", "HS512", "RS512", "PS256", "ES384", "rs256"] {
        let header = json!({"alg": algorithm, "kid": "one"}).to_string();
        let fault = Err(JwtFault::Algorithm(algorithm.to_owned()));
        assert_eq!(check(&signer.token_of(&header, &claims), &keys), fault, "{algorithm}");
        assert_eq!(check(&format!("{}.{}.", encoded(&header), encoded(&claims)), &keys), fault, "{algorithm}");
    }
    // The public key as the secret of an HMAC, as PEM and as DER.
    let der = key.public_key().as_ref();
    let pem = format!("-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n", encoded(der));
    for secret in [der, pem.as_bytes()] {
        for named in ["HS256", "RS256"] {
            let signed = format!("{}.{}", encoded(json!({"alg": named, "kid": "one"}).to_string()), encoded(&claims));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
            assert!(check(&format!("{signed}.{}", encoded(tag)), &keys).is_err(), "{named}");
        }
    }
    let header = json!({"alg": "RS256", "kid": "one"}).to_string();
    let empty = format!("{}.{}.", encoded(header), encoded(&claims));
    assert_eq!(check(&empty, &keys), Err(JwtFault::BadSignature));
}

#[test]
fn an_algorithm_is_of_one_type_of_key() {
    let signers = [Signer::rsa(), Signer::ec(), Signer::ed()];
    for signer in &signers {
        for other in &signers {
            // One says it is signed as `other` signs, and all keys have the same id.
            let header = json!({"alg": other.algorithm(), "kid": "one"}).to_string();
            let token = signer.token_of(&header, &claims().to_string());
            let all: Vec<Value> = signers.iter().map(|signer| signer.jwk("one")).collect();
            let is_same = signer.algorithm() == other.algorithm();
            assert_eq!(check(&token, &set(&all)).is_ok(), is_same);
            let only = check(&token, &set(&[signer.jwk("one")]));
            assert_eq!(only.err(), (!is_same).then_some(JwtFault::UnknownKey));
        }
    }
}

#[test]
fn other_keys_and_tampered_tokens_are_refused() {
    for (signer, stranger) in
        [(Signer::rsa(), Signer::rsa()), (Signer::ec(), Signer::ec()), (Signer::ed(), Signer::ed())]
    {
        let keys = set(&[signer.jwk("one")]);
        let token = signer.token(&claims());
        assert_eq!(check(&stranger.token(&claims()), &keys), Err(JwtFault::BadSignature));
        assert_eq!(check(&token, &set(&[signer.jwk("two")])), Err(JwtFault::UnknownKey));
        assert!(check(&token, &set(&[stranger.jwk("one"), signer.jwk("one")])).is_ok(), "several keys of one id");
        let (signed, signature) = token.rsplit_once('.').expect("parts");
        let (header, _) = signed.split_once('.').expect("parts");
        let other = with("sub", "repo:acme/pay:x").to_string();
        assert_eq!(check(&format!("{header}.{}.{signature}", encoded(other)), &keys), Err(JwtFault::BadSignature));
        // A key that the token brings along proves nothing.
        let header =
            json!({"alg": stranger.algorithm(), "kid": "one", "jwk": stranger.jwk("one"), "jku": "https://evil"});
        let brought = stranger.token_of(&header.to_string(), &claims().to_string());
        assert_eq!(check(&brought, &keys), Err(JwtFault::BadSignature));
    }
}

#[test]
fn an_ecdsa_signature_in_asn1_is_none() {
    let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
    let signer = Signer::Ec(pair);
    assert_eq!(check(&signer.token(&claims()), &set(&[signer.jwk("one")])), Err(JwtFault::BadSignature));
}

#[test]
fn malformed_tokens_are_told() {
    let signer = Signer::ed();
    let keys = set(&[signer.jwk("one")]);
    let with_header = |header: Value| check(&signer.token_of(&header.to_string(), &claims().to_string()), &keys);
    assert_malformed(with_header(json!({"alg": "EdDSA", "crit": ["exp"], "exp": 1})), "`crit`");
    assert_malformed(with_header(json!({"alg": "EdDSA", "crit": []})), "`crit`");
    assert_malformed(with_header(json!({"alg": "EdDSA", "typ": "logout+jwt"})), "its type `logout+jwt`");
    assert_malformed(with_header(json!({"alg": "EdDSA", "typ": 1})), "`typ` is no text");
    assert_malformed(with_header(json!({"alg": "EdDSA", "kid": 1})), "`kid` is no text");
    assert_malformed(with_header(json!({"alg": ["EdDSA"]})), "`alg` is missing");
    assert_malformed(with_header(json!({"typ": "JWT"})), "`alg` is missing");
    assert_malformed(with_header(json!([])), "its header");
    for of_type in ["at+JWT", "jwt", "application/at+jwt", "JOSE"] {
        assert!(with_header(json!({"alg": "EdDSA", "kid": "one", "typ": of_type})).is_ok(), "{of_type}");
    }
    let twice = claims().to_string().replacen('{', "{\"sub\":\"repo:acme/shop:x\",", 1);
    assert_malformed(check(&signer.token_of(r#"{"alg":"EdDSA"}"#, &twice), &keys), "`sub` stands twice");
    let header = r#"{"alg":"none","alg":"EdDSA"}"#;
    assert_malformed(check(&signer.token_of(header, &claims().to_string()), &keys), "`alg` stands twice");
    assert_malformed(check(&signer.token(&with("more", "x".repeat(8 << 10))), &keys), "longer than 8192 bytes");
    let token = signer.token(&claims());
    for text in ["", "a", "a.b", "a.b.c.d", &format!("{token}.x")] {
        assert_malformed(check(text, &keys), "three parts");
    }
    for (text, part) in [
        (format!("{token}="), "signature is not base64url"),
        (format!("={token}"), "header is not base64url"),
        (token.replacen('.', "=.", 1), "header is not base64url"),
        (token.replacen('.', ".+", 1), "claims is not base64url"),
        (token.replacen('.', ".\n", 1), "claims is not base64url"),
        ("..".to_owned(), "its header"),
    ] {
        assert_malformed(check(&text, &keys), part);
    }
    // The last character of 64 bytes carries four bits that must be zero.
    let (before, last) = token.split_at(token.len() - 1);
    let other = if last == "A" { "B" } else { "C" };
    let changed = ["A", "Q", "g", "w"].contains(&last).then(|| check(&format!("{before}{other}"), &keys));
    assert!(changed.expect("64 bytes").is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..512), header in ".{0,60}", claims in ".{0,60}") {
        let keys = set(&[json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})]);
        let _ = check(&String::from_utf8_lossy(&bytes), &keys);
        let _ = KeySet::parse(&bytes);
        let part = encoded(&bytes);
        let parts = [format!("{part}.{part}.{part}"), format!("{}.{}.{part}", encoded(header), encoded(claims))];
        for text in parts {
            prop_assert!(check(&text, &keys).is_err());
        }
    }

    /// The members that are looked at, each with any value.
    #[test]
    fn no_members_panic(numbers in prop::collection::vec(any::<f64>(), 4), texts in prop::collection::vec(".{0,20}", 8)) {
        let signer = Signer::ed();
        let keys = set(&[signer.jwk("one")]);
        let claims = json!({
            "iss": ISSUER, "aud": [texts[0]], "sub": texts[1], "exp": numbers[0], "nbf": numbers[1], "iat": texts[2],
        });
        let header = json!({"alg": "EdDSA", "kid": texts[3]});
        prop_assert!(check(&signer.token_of(&header.to_string(), &claims.to_string()), &keys).is_err());
        prop_assert!(check(&signer.token(&claims), &keys).is_err());
        let key = json!({"keys": [{"kty": "RSA", "n": texts[4], "e": texts[5], "kid": numbers[2]}, {"kty": "EC", "crv": "P-256", "x": texts[6]}]});
        prop_assert!(KeySet::parse(key.to_string().as_bytes()).is_err());
    }

    /// Any single bit of a good token.
    #[test]
    fn a_changed_bit_is_seen(at in any::<prop::sample::Index>(), bit in 0..7_u32) {
        let signer = Signer::ed();
        let keys = set(&[signer.jwk("one")]);
        let mut token = signer.token(&claims()).into_bytes();
        let at = at.index(token.len());
        token[at] ^= 1 << bit;
        prop_assert!(check(&String::from_utf8_lossy(&token), &keys).is_err());
    }
}
