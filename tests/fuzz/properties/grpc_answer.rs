//! The answer of a gRPC health check.

use standfast::control::readers::grpc_answer;

use super::tools::{bounded, shown};

pub fn check(input: &[u8]) {
    bounded(16 << 10, || {
        assert_eq!(grpc_answer(input), reference(input), "{}", shown(input));
        // Behind a good prefix.
        let framed = [&[0][..], &(input.len() as u32).to_be_bytes(), input].concat();
        assert_eq!(grpc_answer(&framed), fields(input), "{}", shown(input));
    });
}

fn reference(input: &[u8]) -> Option<u64> {
    let message = input.get(5..)?;
    (input[0] == 0 && input[1..5] == (message.len() as u32).to_be_bytes()).then(|| fields(message)).flatten()
}

/// The last `status` (field 1, a varint) of a message that is protobuf, field by field; groups are none of it.
fn fields(message: &[u8]) -> Option<u64> {
    let (mut rest, mut status) = (message, 0);
    while !rest.is_empty() {
        let tag = number(&mut rest)?;
        let length = match tag % 8 {
            0 => {
                let value = number(&mut rest)?;
                status = if tag / 8 == 1 { value } else { status };
                0
            }
            1 => 8,
            2 => number(&mut rest)?,
            5 => 4,
            _ => return None,
        };
        rest = rest.get(usize::try_from(length).ok()?..)?;
    }
    Some(status)
}

/// At most ten bytes; bits beyond the 64th are lost, as in every implementation.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let length = rest.iter().take(10).position(|byte| byte & 128 == 0)? + 1;
    let (bytes, behind) = rest.split_at(length);
    *rest = behind;
    Some(bytes.iter().enumerate().fold(0_u128, |number, (place, byte)| number | u128::from(byte & 127) << (7 * place))
        as u64)
}
