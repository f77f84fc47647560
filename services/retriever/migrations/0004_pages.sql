-- Addresses are handed out page by page, in the order of the datablocks' keys.

CREATE INDEX blocks_in_order ON blocks (retrieval, archive_id);
