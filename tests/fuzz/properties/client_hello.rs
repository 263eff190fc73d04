//! The ClientHello of a TLS connection that is passed through.

use standfast::wire::client_hello::*;

use super::tools::{bounded, cut, cuts, seed, shown};

pub fn check(input: &[u8]) {
    let seed = seed(input);
    bounded((256 << 10) + 40 * input.len(), || {
        let whole = read(&[input]);
        for pieces in cuts(seed, input) {
            assert_eq!(whole, read(&pieces), "{}", shown(input));
        }
        if let Ok(Some(asked)) = &whole {
            let name = |name: &String| {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase())
            };
            assert!(
                asked.name.as_ref().is_none_or(name) && asked.protocols.iter().all(|protocol| !protocol.is_empty())
            );
        }
        if input.len() <= 4000 {
            as_a_message(seed, input);
            as_extensions(seed, input);
        }
        as_names(seed, input);
    });
}

fn read(pieces: &[&[u8]]) -> Result<Option<HelloRequest>, HelloError> {
    let mut reader = HelloReader::new();
    for piece in pieces {
        if let Some(asked) = reader.feed(piece)? {
            return Ok(Some(asked));
        }
    }
    Ok(None)
}

/// Content with its length before it, in so many bytes.
fn vector(width: usize, content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32).to_be_bytes()[4 - width..], content].concat()
}

fn message(body: &[u8]) -> Vec<u8> {
    [&[1][..], &vector(3, body)].concat()
}

fn record(content: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &vector(2, content)].concat()
}

/// A body with these extensions.
fn hello(extensions: &[u8]) -> Vec<u8> {
    [&[3, 3][..], &[7; 32], &vector(1, &[]), &vector(2, &[0x13, 1]), &vector(1, &[0]), &vector(2, extensions)].concat()
}

/// A message is the same in one record and in many, and a whole one gets a verdict.
fn in_records(seed: u64, message: &[u8]) -> Result<Option<HelloRequest>, HelloError> {
    let one = read(&[&record(message)]);
    assert!(one != Ok(None), "a whole message is not enough: {}", shown(message));
    let many: Vec<u8> = cut(seed, message).into_iter().flat_map(record).collect();
    if many.len() <= LONGEST_ON_WIRE {
        assert_eq!(one, read(&[&many]), "{}", shown(&many));
        assert_eq!(one, read(&cut(seed >> 9, &many)), "{}", shown(&many));
    }
    one
}

fn as_a_message(seed: u64, input: &[u8]) {
    let verdict = in_records(seed, &message(input));
    assert!(verdict.is_err() || input.len() > 38);
}

/// The input as extensions: a naive walk over them finds the same.
fn as_extensions(seed: u64, input: &[u8]) {
    let verdict = in_records(seed, &message(&hello(input)));
    assert_eq!(verdict.ok().flatten(), reference(input), "extensions {}", shown(input));
}

/// The extensions by RFC 8446 §4.2, RFC 6066 §3 and RFC 7301 §3.1; each length must be exact.
fn reference(extensions: &[u8]) -> Option<HelloRequest> {
    let take = |rest: &mut &[u8], width: usize| -> Option<Vec<u8>> {
        let length = rest.get(..width)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let content = rest.get(width..width + length)?.to_vec();
        *rest = &rest[width + length..];
        Some(content)
    };
    let (mut rest, mut names, mut offers) = (extensions, Vec::new(), Vec::new());
    while !rest.is_empty() {
        let kind = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
        rest = &rest[2..];
        let content = take(&mut rest, 2)?;
        match kind {
            0 => names.push(content),
            16 => offers.push(content),
            _ => {}
        }
    }
    if names.len() > 1 || offers.len() > 1 {
        return None;
    }
    let mut asked = HelloRequest::default();
    if let Some(name) = names.first() {
        let whole = u16::from_be_bytes([*name.first()?, *name.get(1)?]);
        let length = u16::from_be_bytes([*name.get(3)?, *name.get(4)?]);
        let text = &name[5..];
        let exact = usize::from(whole) + 2 == name.len() && name[2] == 0 && usize::from(length) == text.len();
        if !exact || text.is_empty() || !text.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        asked.name = Some(String::from_utf8(text.to_ascii_lowercase()).ok()?);
    }
    if let Some(offer) = offers.first() {
        let mut list = &offer[..];
        let content = take(&mut list, 2).filter(|content| list.is_empty() && !content.is_empty())?;
        let mut rest = &content[..];
        while !rest.is_empty() {
            asked.protocols.push(take(&mut rest, 1).filter(|name| !name.is_empty())?);
        }
    }
    Some(asked)
}

/// A hello that asks for what the input says, among extensions that mean nothing, is understood as that.
fn as_names(seed: u64, input: &[u8]) {
    let name: Vec<u8> = input.iter().take(seed as usize % 80).map(|byte| b'!' + byte % 94).collect();
    let protocols: Vec<Vec<u8>> = input.chunks(1 + (seed >> 8) as usize % 255).take(5).map(<[u8]>::to_vec).collect();
    let extension = |kind: u16, content: &[u8]| [&kind.to_be_bytes()[..], &vector(2, content)].concat();
    let mut extensions = vec![extension(0x0a0a, &[]), extension(51, &input[..input.len().min(90)])];
    if !name.is_empty() {
        extensions.push(extension(0, &vector(2, &[&[0][..], &vector(2, &name)].concat())));
    }
    if !protocols.is_empty() {
        let list: Vec<u8> = protocols.iter().flat_map(|name| vector(1, name)).collect();
        extensions.push(extension(16, &vector(2, &list)));
    }
    if seed & (1 << 40) != 0 {
        extensions.reverse();
    }
    let name = String::from_utf8(name.to_ascii_lowercase()).expect("ASCII");
    let wanted = HelloRequest { name: (!name.is_empty()).then_some(name), protocols };
    assert_eq!(in_records(seed, &message(&hello(&extensions.concat()))), Ok(Some(wanted)));
}
