//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677, RFC 5929), the client's side.
//!
//! Why it is not that of the crate `postgres-protocol`: the keys of a password are thousands of hashes away from it, and there they are made
//! for each login. A check logs in once a second, so it keeps them for as long as password, salt and count stay the same.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::Secret;

/// Rounds of hashing that are done for one server: what it asks for costs this side too.
const MOST_ITERATIONS: u32 = 100_000;
/// Random bytes of a nonce.
const NONCE: usize = 18;
/// Bytes of a key: those of SHA-256.
const KEY: usize = 32;

/// What the login is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ChannelBinding {
    /// To nothing: there is no TLS, or its certificate has no hash to bind to.
    Unsupported,
    /// To nothing, for the server has not offered it. (If it says that it has, what came was changed on the way.)
    NotOffered,
    /// To the server's certificate, by this hash of it (`tls-server-end-point`).
    Certificate(Vec<u8>),
}

impl ChannelBinding {
    /// The header of GSS-API, and what it announces.
    fn input(&self) -> Vec<u8> {
        match self {
            ChannelBinding::Unsupported => b"n,,".to_vec(),
            ChannelBinding::NotOffered => b"y,,".to_vec(),
            ChannelBinding::Certificate(hash) => [b"p=tls-server-end-point,,", &**hash].concat(),
        }
    }

    fn header(&self) -> &'static str {
        match self {
            ChannelBinding::Unsupported => "n,,",
            ChannelBinding::NotOffered => "y,,",
            ChannelBinding::Certificate(_) => "p=tls-server-end-point,,",
        }
    }
}

/// Why there is no login.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScramError {
    /// The server said what is no SCRAM.
    #[error("SCRAM: {0}")]
    Malformed(&'static str),
    /// It asks for more hashing than is done for it.
    #[error("SCRAM: {0} iterations, and {MOST_ITERATIONS} are done at most")]
    TooManyIterations(u32),
    /// It does not know the password.
    #[error("SCRAM: the server does not prove that it knows the password")]
    Unproved,
    /// This host has no random numbers.
    #[error("SCRAM: no random numbers")]
    NoRandom,
}

/// The first message of the client, and what the server's answer is held against.
pub(super) struct ScramLogin {
    binding: ChannelBinding,
    /// Without the header of the binding.
    first: String,
    nonce: String,
}

impl ScramLogin {
    pub(super) fn new(binding: ChannelBinding) -> Result<ScramLogin, ScramError> {
        let mut random = [0; NONCE];
        rand::fill(&mut random).map_err(|_| ScramError::NoRandom)?;
        Ok(ScramLogin::with_nonce(binding, String::new(), STANDARD.encode(random)))
    }

    /// (PostgreSQL takes the user of the startup message, and an empty name here.)
    fn with_nonce(binding: ChannelBinding, user: String, nonce: String) -> ScramLogin {
        ScramLogin { binding, first: format!("n={user},r={nonce}"), nonce }
    }

    /// What is sent first.
    pub(super) fn message(&self) -> String {
        format!("{}{}", self.binding.header(), self.first)
    }

    /// The server's first message.
    pub(super) fn challenge(self, server: &[u8]) -> Result<ScramChallenge, ScramError> {
        let server = std::str::from_utf8(server).map_err(|_| ScramError::Malformed("its challenge is no text"))?;
        let mut parts = server.splitn(4, ',');
        let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name));
        let (nonce, salt, count) =
            part("r=").zip(part("s=")).zip(part("i=")).map(|((r, s), i)| (r, s, i)).ok_or(ScramError::Malformed(
                "its challenge has no nonce, salt and count of iterations in this order",
            ))?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(ScramError::Malformed("its challenge is for another login"));
        }
        let salt = STANDARD.decode(salt).map_err(|_| ScramError::Malformed("its salt is no base64"))?;
        let iterations: NonZeroU32 =
            count.parse().map_err(|_| ScramError::Malformed("its count of iterations is no number"))?;
        if iterations.get() > MOST_ITERATIONS {
            return Err(ScramError::TooManyIterations(iterations.get()));
        }
        let last = format!("c={},r={nonce}", STANDARD.encode(self.binding.input()));
        let signed = format!("{},{server},{last}", self.first);
        Ok(ScramChallenge { recipe: ScramRecipe { salt, iterations }, last, signed })
    }
}

/// What makes the keys of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScramRecipe {
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

/// The server's challenge, and the answer to it but for its proof.
pub(super) struct ScramChallenge {
    recipe: ScramRecipe,
    last: String,
    signed: String,
}

impl ScramChallenge {
    pub(super) fn recipe(&self) -> &ScramRecipe {
        &self.recipe
    }

    /// The answer, and what the server must say to it.
    pub(super) fn answer(self, keys: &ScramKeys) -> (String, ScramProof) {
        let stored = digest::digest(&digest::SHA256, &keys.client);
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, stored.as_ref()), self.signed.as_bytes());
        let proof: Vec<u8> =
            keys.client.iter().zip(signature.as_ref()).map(|(key, signature)| key ^ signature).collect();
        let answer = format!("{},p={}", self.last, STANDARD.encode(proof));
        (answer, ScramProof { server: hmac::Key::new(hmac::HMAC_SHA256, &keys.server), signed: self.signed })
    }
}

/// What the server's last message is held against.
pub(super) struct ScramProof {
    server: hmac::Key,
    signed: String,
}

impl ScramProof {
    /// The server's last message: only with it is the login done, and the server known for the one that is meant.
    pub(super) fn verify(&self, server: &[u8]) -> Result<(), ScramError> {
        let verifier = server.strip_prefix(b"v=").map(|rest| rest.split(|byte| *byte == b',').next().unwrap_or(rest));
        let verifier = verifier.ok_or(ScramError::Malformed("its last message has no proof"))?;
        let verifier = STANDARD.decode(verifier).map_err(|_| ScramError::Malformed("its proof is no base64"))?;
        hmac::verify(&self.server, self.signed.as_bytes(), &verifier).map_err(|_| ScramError::Unproved)
    }
}

/// The keys of a password.
#[derive(Clone)]
pub(super) struct ScramKeys {
    client: [u8; KEY],
    server: [u8; KEY],
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Secret::HIDDEN)
    }
}

impl ScramKeys {
    /// Takes milliseconds.
    pub(super) fn derive(password: &str, recipe: &ScramRecipe) -> ScramKeys {
        // (What cannot be prepared is taken as it is, as PostgreSQL does.)
        let prepared = stringprep::saslprep(password).unwrap_or(password.into());
        let mut salted = [0; KEY];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, recipe.iterations, &recipe.salt, prepared.as_bytes(), &mut salted);
        let salted = hmac::Key::new(hmac::HMAC_SHA256, &salted);
        let key = |name: &[u8]| {
            let mut key = [0; KEY];
            key.copy_from_slice(hmac::sign(&salted, name).as_ref());
            key
        };
        ScramKeys { client: key(b"Client Key"), server: key(b"Server Key") }
    }
}

/// The keys of the last login at a server.
#[derive(Default)]
pub(super) struct ScramKeyCache(Mutex<Option<(String, ScramRecipe, ScramKeys)>>);

impl ScramKeyCache {
    /// Those of this password, if they were made by this recipe.
    pub(super) fn find(&self, password: &str, recipe: &ScramRecipe) -> Option<ScramKeys> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, _, keys) = kept.as_ref().filter(|(of, by, _)| of == password && by == recipe)?;
        Some(keys.clone())
    }

    /// Keeps these, after a login that has proved them.
    pub(super) fn keep(&self, password: String, recipe: ScramRecipe, keys: ScramKeys) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((password, recipe, keys));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn login(binding: ChannelBinding) -> ScramLogin {
        ScramLogin::with_nonce(binding, "user".to_owned(), "rOprNGfwEbeRWgbNEkqO".to_owned())
    }

    /// RFC 7677, 3.
    #[test]
    fn the_exchange_of_the_rfc_is_repeated() {
        let login = login(ChannelBinding::Unsupported);
        assert_eq!(login.message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = login.challenge(SERVER_FIRST.as_bytes()).unwrap();
        let keys = ScramKeys::derive("pencil", challenge.recipe());
        let (answer, proof) = challenge.answer(&keys);
        assert_eq!(
            answer,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(proof.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
        assert_eq!(proof.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=,x=1"), Ok(()));
        assert_eq!(
            proof.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="),
            Err(ScramError::Malformed("its proof is no base64"))
        );
        assert_eq!(proof.verify(b"v=AAAA"), Err(ScramError::Unproved));
        assert_eq!(proof.verify(b"e=other-error"), Err(ScramError::Malformed("its last message has no proof")));
    }

    #[test]
    fn what_it_is_bound_to_is_part_of_the_answer() {
        let answer = |binding: ChannelBinding| {
            let challenge = login(binding).challenge(SERVER_FIRST.as_bytes()).unwrap();
            let keys = ScramKeys::derive("pencil", challenge.recipe());
            challenge.answer(&keys).0
        };
        let to = |hash: &[u8]| answer(ChannelBinding::Certificate(hash.to_vec()));
        assert!(to(b"hash").starts_with("c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsaGFzaA==,"));
        assert!(answer(ChannelBinding::NotOffered).starts_with("c=eSws,"));
        let proof = |answer: &str| answer.rsplit_once(",p=").unwrap().1.to_owned();
        assert_ne!(proof(&to(b"hash")), proof(&to(b"Hash")));
    }

    #[test]
    fn a_password_is_prepared_as_servers_do_it() {
        let recipe = ScramRecipe { salt: b"salt".to_vec(), iterations: NonZeroU32::MIN };
        let client = |password| ScramKeys::derive(password, &recipe).client;
        assert_eq!(client("I\u{00ad}X"), client("IX"));
        assert_eq!(client("\u{2168}"), client("IX"));
        assert_ne!(client("ix"), client("IX"));
        assert_ne!(client("\u{7}"), client(""), "what may not be in a password is left as it is");
    }

    #[test]
    fn a_challenge_that_is_none_is_refused() {
        for wrong in [
            "",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=another%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO1,s=!,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO1,s=AAAA,i=0",
            "r=rOprNGfwEbeRWgbNEkqO1,s=AAAA,i=99999999999999999999",
            "r=rOprNGfwEbeRWgbNEkqO1,i=4096,s=AAAA",
            "m=must,r=rOprNGfwEbeRWgbNEkqO1,s=AAAA,i=1",
            "r=rOprNGfwEbeRWgbNEkqO1,s=AAAA",
        ] {
            let refused = login(ChannelBinding::Unsupported).challenge(wrong.as_bytes()).err();
            assert!(matches!(refused, Some(ScramError::Malformed(_))), "{wrong}: {refused:?}");
        }
        let costly = login(ChannelBinding::Unsupported).challenge(b"r=rOprNGfwEbeRWgbNEkqO1,s=AAAA,i=100001").err();
        assert_eq!(costly, Some(ScramError::TooManyIterations(100_001)));
        assert!(login(ChannelBinding::Unsupported).challenge(b"r=\xff").is_err());
    }

    #[test]
    fn keys_are_those_of_one_password_and_recipe() {
        let cache = ScramKeyCache::default();
        let recipe = ScramRecipe { salt: b"salt".to_vec(), iterations: NonZeroU32::MIN };
        let other = ScramRecipe { salt: b"other".to_vec(), ..recipe.clone() };
        assert!(cache.find("a", &recipe).is_none());
        cache.keep("a".to_owned(), recipe.clone(), ScramKeys::derive("a", &recipe));
        assert_eq!(cache.find("a", &recipe).map(|keys| keys.client), Some(ScramKeys::derive("a", &recipe).client));
        assert!(cache.find("b", &recipe).is_none() && cache.find("a", &other).is_none());
    }
}
