"""Calls the API with the client that openapi-python-client generates."""

import os

from chatcamp_api import AuthenticatedClient
from chatcamp_api.api.users import users_create, users_get, users_list, users_publish, users_revoke_tokens
from chatcamp_api.models import (
    Named,
    PageBodyAnswer,
    PublishBodyAnswer,
    PublishToUser,
    Refusal,
    UserBodyAnswer,
    UserList,
    UserWrite,
    UserWriteMetadata,
)
from chatcamp_api.types import UNSET

client = AuthenticatedClient(
    base_url=os.environ["CHATCAMP_URL"],
    token=os.environ["CHATCAMP_API_KEY"],
    prefix="",
    auth_header_name="x-api-key",
)

metadata = UserWriteMetadata.from_dict({"plan": "pro"})
fields = UserWrite(id="pete", display_name="Pete", is_suspended=False, metadata=metadata)
created = users_create.sync(client=client, body=fields, idempotency_key="create-pete")
assert isinstance(created, UserBodyAnswer), created
assert created.user.display_name == "Pete"
assert created.claimed is False
assert isinstance(created.access_token, str)

found = users_get.sync(client=client, body=Named(id="pete"))
assert isinstance(found, UserBodyAnswer), found
assert found.access_token == created.access_token
assert found.user.metadata["plan"] == "pro"
assert found.claimed is UNSET

page = users_list.sync(client=client, body=UserList(prefix="pete", limit=20))
assert isinstance(page, PageBodyAnswer), page
assert [user.id for user in page.users] == ["pete"]
assert page.reference is UNSET

event = PublishToUser(id="pete", type_="order.shipped", data={"order": 17})
published = users_publish.sync(client=client, body=event)
assert isinstance(published, PublishBodyAnswer), published
assert (published.delivered, published.queued) == (0, 0)

revoked = users_revoke_tokens.sync(client=client, body=Named(id="pete"))
assert isinstance(revoked, UserBodyAnswer), revoked
assert revoked.access_token_set is False
assert revoked.access_token is UNSET

refused = users_get.sync(client=client, body=Named(id="nobody"))
assert isinstance(refused, Refusal), refused
assert refused.error.code == "USER_NOT_FOUND"
