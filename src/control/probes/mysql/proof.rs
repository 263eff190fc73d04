//! How a password is proved to MySQL and MariaDB: salted hashes, and the password itself under the server's RSA key.

use std::path::Path;

use aws_lc_rs::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::MysqlMethod;
use crate::control::credential_file::{self, CredentialFileError};
use crate::wire::mysql::NONCE;

/// Bytes of the longest file with a key.
const LONGEST_KEY: usize = 16 * 1024;

/// The method with this name, where it is one of those that a check has.
pub(super) fn method(name: &[u8]) -> Option<MysqlMethod> {
    [MysqlMethod::CachingSha2, MysqlMethod::Native, MysqlMethod::Cleartext]
        .into_iter()
        .find(|method| plugin(*method).as_bytes() == name)
}

/// Its name in the protocol.
pub(super) fn plugin(method: MysqlMethod) -> &'static str {
    match method {
        MysqlMethod::CachingSha2 => "caching_sha2_password",
        MysqlMethod::Native => "mysql_native_password",
        MysqlMethod::Cleartext => "mysql_clear_password",
    }
}

/// The proof of this password for a challenge; without a password it is empty.
pub(super) fn proof(method: MysqlMethod, password: Option<&str>, nonce: &[u8; NONCE]) -> Vec<u8> {
    let Some(password) = password else { return Vec::new() };
    match method {
        MysqlMethod::CachingSha2 => {
            let once = hash(&SHA256, &[password.as_bytes()]);
            let twice = hash(&SHA256, &[&once]);
            mixed(&once, &hash(&SHA256, &[&twice, nonce]))
        }
        MysqlMethod::Native => {
            let once = hash(&SHA1_FOR_LEGACY_USE_ONLY, &[password.as_bytes()]);
            let twice = hash(&SHA1_FOR_LEGACY_USE_ONLY, &[&once]);
            mixed(&once, &hash(&SHA1_FOR_LEGACY_USE_ONLY, &[nonce, &twice]))
        }
        MysqlMethod::Cleartext => ended(password),
    }
}

/// The password itself, as a server takes it: with a byte 0 at its end.
pub(super) fn ended(password: &str) -> Vec<u8> {
    [password.as_bytes(), &[0]].concat()
}

/// The password itself, for a server with this key.
pub(super) fn encrypted(password: &str, nonce: &[u8; NONCE], key: &OaepPublicEncryptingKey) -> Option<Vec<u8>> {
    let salted: Vec<u8> = ended(password).iter().zip(nonce.iter().cycle()).map(|(byte, salt)| byte ^ salt).collect();
    let mut into = vec![0; key.ciphertext_size()];
    let length = key.encrypt(&OAEP_SHA1_MGF1SHA1, &salted, &mut into, None).ok()?.len();
    into.truncate(length);
    Some(into)
}

fn hash(algorithm: &'static Algorithm, parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(algorithm);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().to_vec()
}

fn mixed(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

/// The public RSA key in a PEM file, and what is wrong with the file. Blocks.
pub(in crate::control) fn server_key(path: &Path) -> Result<OaepPublicEncryptingKey, String> {
    let shown = path.display();
    let (text, _) = credential_file::read(path, LONGEST_KEY).map_err(|error| match error {
        CredentialFileError::Unreadable(error) => format!("{shown}: the server's key cannot be read: {error}"),
        CredentialFileError::Writable(mode) => {
            format!("{shown}: others than its owner can write the server's key (mode {mode:04o})")
        }
    })?;
    from_pem(&text).ok_or_else(|| format!("{shown}: it is no RSA key in the form `BEGIN PUBLIC KEY`"))
}

fn from_pem(text: &str) -> Option<OaepPublicEncryptingKey> {
    let (_, rest) = text.split_once("-----BEGIN PUBLIC KEY-----")?;
    let (body, _) = rest.split_once("-----END PUBLIC KEY-----")?;
    let body: String = body.split_whitespace().collect();
    let der = STANDARD.decode(body).ok()?;
    OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(&der).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey};

    use super::*;

    const SALT: &[u8; NONCE] = b"12345678901234567890";

    /// As a server checks it: from the hash that it keeps.
    #[test]
    fn a_server_that_keeps_the_double_hash_can_check_the_proof() {
        for (method, algorithm, salt_first) in
            [(MysqlMethod::Native, &SHA1_FOR_LEGACY_USE_ONLY, true), (MysqlMethod::CachingSha2, &SHA256, false)]
        {
            let kept = hash(algorithm, &[&hash(algorithm, &[b"s3 cr\xc3\xa9t"])]);
            let parts: [&[u8]; 2] = if salt_first { [SALT, &kept] } else { [&kept, SALT] };
            let once = mixed(&proof(method, Some("s3 crét"), SALT), &hash(algorithm, &parts));
            assert_eq!(hash(algorithm, &[&once]), kept, "{method:?}");
            assert!(proof(method, None, SALT).is_empty());
        }
    }

    #[test]
    fn names_of_methods_are_those_of_the_protocol() {
        assert_eq!(method(b"caching_sha2_password"), Some(MysqlMethod::CachingSha2));
        assert_eq!(method(b"mysql_native_password"), Some(MysqlMethod::Native));
        assert_eq!(method(b"client_ed25519"), None);
    }

    #[test]
    fn a_server_with_the_key_gets_the_password() {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<PublicKeyX509Der<'_>>::as_der(&private.public_key()).unwrap();
        let body = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        let sent = encrypted("s3 crét", SALT, &from_pem(&pem).unwrap()).unwrap();
        let private = OaepPrivateDecryptingKey::new(private).unwrap();
        let mut into = vec![0; private.min_output_size()];
        let salted = private.decrypt(&OAEP_SHA1_MGF1SHA1, &sent, &mut into, None).unwrap();
        let found: Vec<u8> = salted.iter().zip(SALT.iter().cycle()).map(|(byte, salt)| byte ^ salt).collect();
        assert_eq!(found, ended("s3 crét"));
        assert!(from_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").is_none());
        assert!(from_pem("ssh-rsa AAAA").is_none());
        assert!(encrypted(&"x".repeat(4096), SALT, &from_pem(&pem).unwrap()).is_none(), "longer than the key can take");
    }
}
