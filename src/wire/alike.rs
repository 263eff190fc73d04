//! For tests: the ways in which the same bytes can come.

/// Whole; one by one; in two pieces, cut at each place near both ends and at some hundreds between them.
pub(super) fn ways(bytes: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    const NEAR: usize = 100;
    let (length, step) = (bytes.len(), 1 + bytes.len() / 200);
    let cuts = (1..length).filter(move |at| *at < NEAR || at + NEAR > length || at % step == 0);
    let two = cuts.map(|at| vec![&bytes[..at], &bytes[at..]]);
    [vec![bytes], bytes.chunks(1).collect()].into_iter().chain(two)
}

/// The verdict on these bytes, which must be the same in whatever pieces they come.
#[track_caller]
pub(super) fn judged<T: PartialEq + std::fmt::Debug>(bytes: &[u8], read: impl Fn(&[&[u8]]) -> T) -> T {
    let whole = read(&[bytes]);
    for pieces in ways(bytes) {
        let verdict = read(&pieces);
        let sizes: Vec<usize> = pieces.iter().map(|piece| piece.len()).take(4).collect();
        assert_eq!(verdict, whole, "in pieces of {sizes:?}: {}", bytes[..bytes.len().min(200)].escape_ascii());
    }
    whole
}
