//! The endpoints that a request has tried: small, inline, no allocation for the usual handful.

use smallvec::SmallVec;

use crate::decision::EndpointId;

/// The endpoints that a request has tried.
#[derive(Clone, Debug, Default)]
pub struct TriedEndpoints {
    list: SmallVec<[(EndpointId, bool); 4]>,
}

impl TriedEndpoints {
    /// None yet.
    pub fn new() -> TriedEndpoints {
        TriedEndpoints::default()
    }

    /// This endpoint was tried. `refused`: the connect carried no byte, so it is not asked again under this table.
    pub fn add(&mut self, endpoint: EndpointId, refused: bool) {
        self.list.retain(|(id, _)| *id != endpoint);
        self.list.push((endpoint, refused));
    }

    /// Was it tried?
    pub fn contains(&self, endpoint: EndpointId) -> bool {
        self.list.iter().any(|(id, _)| *id == endpoint)
    }

    /// Was it tried, and did its last try carry no byte?
    pub fn refused(&self, endpoint: EndpointId) -> bool {
        self.list.iter().any(|(id, refused)| *id == endpoint && *refused)
    }

    /// Place in the order of trying, oldest first; `None` when not tried.
    pub fn order(&self, endpoint: EndpointId) -> Option<usize> {
        self.list.iter().position(|(id, _)| *id == endpoint)
    }

    /// It may be asked again: what was in the way was ours.
    pub fn forget(&mut self, endpoint: EndpointId) {
        self.list.retain(|(id, _)| *id != endpoint);
    }

    /// A newer table has judged them again: refused endpoints may be tried again.
    pub fn forget_refusals(&mut self) {
        self.list.retain(|(_, refused)| !*refused);
    }

    /// How many different endpoints.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
