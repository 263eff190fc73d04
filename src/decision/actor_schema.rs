//! The schema of an [`Actor`], which writes itself in two forms.

use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::{Actor, ActorKind};

impl PartialSchema for Actor {
    fn schema() -> RefOr<Schema> {
        let text = |description: &str| {
            ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).description(Some(description))
        };
        let own = text("Standfast itself").enum_values(Some(["standfast"]));
        let parts = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Object))
            .property("kind", utoipa::openapi::Ref::from_schema_name("ActorKind"))
            .property("name", text("the name it was recognized by"))
            .property("origin", text("where it is: an address, a path or a host; absent = not known"))
            .required("kind")
            .required("name");
        let forms = OneOfBuilder::new().item(own).item(parts);
        forms.description(Some("The origin of an act or of a switch.")).into()
    }
}

impl ToSchema for Actor {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((ActorKind::name().into_owned(), ActorKind::schema()));
    }
}
