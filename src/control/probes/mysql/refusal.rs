//! What an error of MySQL or MariaDB says about the server, by its number.

use super::super::error::ProbeError;
use super::super::password::without;
use crate::decision::ProbeFailure;
use crate::text::shortened;
use crate::wire::mysql::MysqlRefusal;

/// What an error of the server says about it. `secret`: it is not told, though the server repeats it.
pub(super) fn refusal(error: MysqlRefusal<'_>, secret: Option<&str>) -> ProbeError {
    let text = String::from_utf8_lossy(error.text);
    let detail = shortened(&format!("{} {}", error.code, without(secret, &text)), 150);
    match error.code {
        // (ER_UNKNOWN_COM_ERROR is a node of Galera that is not yet, or no longer, in its cluster.)
        1047 if text.contains("WSREP") => ProbeError::Fail(ProbeFailure::NotServing, detail),
        code => classified(code, detail),
    }
}

/// The class of an error (MySQL, server error reference; MariaDB has the same numbers below 1900).
fn classified(code: u16, detail: String) -> ProbeError {
    match code {
        // All connections, or those of this user, are taken.
        1040 | 1203 | 1226 => ProbeError::Busy(detail),
        // It stops, or an operator has put it into offline mode.
        1053 | 3032 => ProbeError::Fail(ProbeFailure::NotServing, detail),
        // The user, its password, its account, a right, or the database.
        1044 | 1045 | 1049 | 1142 | 1143 | 1227 | 1698 | 1820 | 1862 | 3118 | 4151 => ProbeError::Blind(detail),
        // The host is blocked (`FLUSH HOSTS` ends that) or not let in.
        1129 | 1130 => ProbeError::Blind(detail),
        // TLS is required, or a way to log in that one of both sides does not have.
        3159 | 1251 | 1275 | 1524 => ProbeError::Blind(detail),
        _ => ProbeError::Fail(ProbeFailure::Mismatch, detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_put_into_their_classes() {
        for (codes, wanted) in [
            (&[1040, 1203, 1226][..], "Busy"),
            (&[1044, 1045, 1049, 1142, 1227, 1698, 1129, 1130, 3159, 1251, 1820, 3118], "Blind"),
            (&[1053, 3032], "NotServing"),
            (&[1030, 1047, 1064, 1317, 0], "Mismatch"),
        ] {
            for code in codes {
                assert_eq!(refusal(MysqlRefusal { code: *code, text: b"" }, None).class(), wanted, "{code}");
            }
        }
        let unready = b"WSREP has not yet prepared node for application use";
        assert_eq!(refusal(MysqlRefusal { code: 1047, text: unready }, None).class(), "NotServing");
    }

    #[test]
    fn what_a_server_repeats_of_a_password_is_not_told() {
        let error = MysqlRefusal { code: 1045, text: b"Access denied, s3cret is wrong" };
        assert_eq!(refusal(error, Some("s3cret")).detail(), "1045 Access denied, *** is wrong");
    }
}
