//! Why a message is refused: one name per reason, for the metric label, and the status a client is answered.

use thiserror::Error;

/// Why bytes are not a message that we pass on. The connection they came over cannot be used any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Error {
    /// A line ends in LF without CR.
    #[error("a line ends without CR")]
    BareLf,
    /// The first line does not start with a method.
    #[error("the request does not start with a method")]
    Method,
    /// The first line is not `method SP target SP version`.
    #[error("the first line is not `method target version`")]
    RequestLine,
    /// HTTP/0.9: no version.
    #[error("the request has no version")]
    NoVersion,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// The target is neither a path, nor an http URL, nor `*` for OPTIONS; or it holds a byte that no URL may hold.
    #[error("the request target is not allowed")]
    Target,
    /// The path holds a `.` or `..` segment, plain or percent-encoded: the upstream would read another path than routed.
    #[error("the path holds a dot segment")]
    DotSegment,
    /// CONNECT.
    #[error("CONNECT is not allowed")]
    Connect,
    /// The first line alone exceeds the bound.
    #[error("the request target is too long")]
    TargetTooLong,
    /// The head exceeds its bound of bytes.
    #[error("the head is too large")]
    HeadTooLarge,
    /// The head has more fields than allowed.
    #[error("the head has too many fields")]
    TooManyFields,
    /// A line starts with a space: the obsolete folding.
    #[error("a folded line")]
    FoldedLine,
    /// Space before the colon.
    #[error("a space before a colon")]
    SpaceBeforeColon,
    /// A line without a colon.
    #[error("a line without a colon")]
    NoColon,
    /// A name that is no token.
    #[error("a field name is not a token")]
    FieldName,
    /// A control byte in a value.
    #[error("a control byte in a field value")]
    FieldValue,
    /// HTTP/1.1 without Host.
    #[error("no Host")]
    HostMissing,
    /// More than one Host.
    #[error("more than one Host")]
    HostRepeated,
    /// Not a host with an optional port.
    #[error("Host is not a host with an optional port")]
    HostInvalid,
    /// Not a plain decimal number, or too large.
    #[error("Content-Length is not a number")]
    ContentLength,
    /// More than one, equal or not.
    #[error("more than one Content-Length")]
    ContentLengthRepeated,
    /// Both Content-Length and Transfer-Encoding.
    #[error("both Content-Length and Transfer-Encoding")]
    LengthConflict,
    /// Empty, repeated, with parameters, or `chunked` where it may not stand.
    #[error("Transfer-Encoding is not exactly `chunked`")]
    TransferEncoding,
    /// A coding that we do not know.
    #[error("an unknown transfer coding")]
    TransferCoding,
    /// Transfer-Encoding under HTTP/1.0.
    #[error("Transfer-Encoding under HTTP/1.0")]
    TransferEncodingHttp10,
    /// Anything but `100-continue`.
    #[error("an unknown expectation")]
    Expectation,
    /// More options than any honest sender needs.
    #[error("too many Connection options")]
    ConnectionOptions,
    /// The first line of a reply is not `version SP status [SP reason]`.
    #[error("the status line is malformed")]
    StatusLine,
    /// More interim replies than allowed.
    #[error("too many interim replies")]
    TooManyInterim,
    /// 101 without an upgrade request, or to something else than was offered.
    #[error("101 to a protocol that was not offered")]
    UnaskedUpgrade,
    /// A chunk size that is not one to sixteen hex digits, or too large.
    #[error("a chunk size is malformed")]
    ChunkSize,
    /// A malformed chunk extension.
    #[error("a chunk extension is malformed")]
    ChunkExtension,
    /// More bytes of chunk extensions than allowed.
    #[error("chunk extensions are too long")]
    ChunkExtensionsTooLong,
    /// A chunk is not followed by CRLF.
    #[error("a chunk does not end where it should")]
    ChunkEnd,
    /// The trailers exceed a bound.
    #[error("the trailers are too large")]
    TrailersTooLarge,
    /// The body ended before its end.
    #[error("the body was cut short")]
    BodyCut,
    /// The engine of HTTP/2 refused it.
    #[error("the message is malformed in HTTP/2")]
    Http2Message,
    /// A reply broke the rules of HTTP/2.
    #[error("the rules of HTTP/2 were broken")]
    Http2,
}

impl Error {
    /// A stable name for metrics and logs.
    pub const fn reason(self) -> &'static str {
        match self {
            Error::BareLf => "bare_lf",
            Error::Method => "method",
            Error::RequestLine => "request_line",
            Error::NoVersion => "no_version",
            Error::Version => "version",
            Error::Target => "target",
            Error::DotSegment => "dot_segment",
            Error::Connect => "connect",
            Error::TargetTooLong => "target_too_long",
            Error::HeadTooLarge => "head_too_large",
            Error::TooManyFields => "too_many_fields",
            Error::FoldedLine => "folded_line",
            Error::SpaceBeforeColon => "space_before_colon",
            Error::NoColon => "no_colon",
            Error::FieldName => "field_name",
            Error::FieldValue => "field_value",
            Error::HostMissing => "host_missing",
            Error::HostRepeated => "host_repeated",
            Error::HostInvalid => "host_invalid",
            Error::ContentLength => "content_length",
            Error::ContentLengthRepeated => "content_length_repeated",
            Error::LengthConflict => "length_conflict",
            Error::TransferEncoding => "transfer_encoding",
            Error::TransferCoding => "transfer_coding",
            Error::TransferEncodingHttp10 => "transfer_encoding_http10",
            Error::Expectation => "expectation",
            Error::ConnectionOptions => "connection_options",
            Error::StatusLine => "status_line",
            Error::TooManyInterim => "too_many_interim",
            Error::UnaskedUpgrade => "unasked_upgrade",
            Error::ChunkSize => "chunk_size",
            Error::ChunkExtension => "chunk_extension",
            Error::ChunkExtensionsTooLong => "chunk_extensions_too_long",
            Error::ChunkEnd => "chunk_end",
            Error::TrailersTooLarge => "trailers_too_large",
            Error::BodyCut => "body_cut",
            Error::Http2Message => "http2_message",
            Error::Http2 => "http2",
        }
    }

    /// Every error, for metrics that list their labels ahead.
    pub const ALL: [Error; 38] = [
        Error::BareLf,
        Error::Method,
        Error::RequestLine,
        Error::NoVersion,
        Error::Version,
        Error::Target,
        Error::DotSegment,
        Error::Connect,
        Error::TargetTooLong,
        Error::HeadTooLarge,
        Error::TooManyFields,
        Error::FoldedLine,
        Error::SpaceBeforeColon,
        Error::NoColon,
        Error::FieldName,
        Error::FieldValue,
        Error::HostMissing,
        Error::HostRepeated,
        Error::HostInvalid,
        Error::ContentLength,
        Error::ContentLengthRepeated,
        Error::LengthConflict,
        Error::TransferEncoding,
        Error::TransferCoding,
        Error::TransferEncodingHttp10,
        Error::Expectation,
        Error::ConnectionOptions,
        Error::StatusLine,
        Error::TooManyInterim,
        Error::UnaskedUpgrade,
        Error::ChunkSize,
        Error::ChunkExtension,
        Error::ChunkExtensionsTooLong,
        Error::ChunkEnd,
        Error::TrailersTooLarge,
        Error::BodyCut,
        Error::Http2Message,
        Error::Http2,
    ];

    /// The status of the answer to a client whose request is refused for this. For a malformed *reply* the client is always
    /// answered 502.
    pub const fn status(self) -> u16 {
        match self {
            Error::TargetTooLong => 414,
            Error::Expectation => 417,
            Error::HeadTooLarge | Error::TooManyFields | Error::TrailersTooLarge => 431,
            Error::TransferCoding => 501,
            Error::Version => 505,
            _ => 400,
        }
    }
}
