-- The shop's database. Loaded as the superuser; read as the role that `load` makes.
CREATE TYPE customer_segment AS ENUM ('retail', 'club', 'trade');
CREATE TYPE order_channel AS ENUM ('web', 'app', 'store', 'phone');
CREATE TYPE order_status AS ENUM ('completed', 'returned', 'cancelled');

CREATE TABLE customers (
    customer_id integer PRIMARY KEY,
    name        text NOT NULL,
    email       text NOT NULL UNIQUE,
    region      text NOT NULL,
    segment     customer_segment NOT NULL,
    newsletter  boolean NOT NULL,
    joined_on   date NOT NULL,
    preferences jsonb,
    created_at  timestamptz NOT NULL
);
COMMENT ON TABLE customers IS 'People and firms that have an account';
COMMENT ON COLUMN customers.region IS 'Where the customer lives; an order may go elsewhere';
COMMENT ON COLUMN customers.preferences IS 'What the customer told about language and size; null when never asked';

CREATE TABLE products (
    product_id  integer PRIMARY KEY,
    sku         text NOT NULL UNIQUE,
    name        text NOT NULL,
    category    text NOT NULL,
    price       numeric(10, 2) NOT NULL CHECK (price > 0),
    cost        numeric(10, 2) NOT NULL CHECK (cost > 0),
    weight_kg   numeric(7, 3) NOT NULL,
    launched_on date NOT NULL,
    active      boolean NOT NULL
);
COMMENT ON TABLE products IS 'What is sold; colours and suppliers stand in the catalogue in the lake';
COMMENT ON COLUMN products.cost IS 'What one piece costs us';

CREATE TABLE orders (
    order_id    bigint PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    region      text NOT NULL,
    channel     order_channel NOT NULL,
    status      order_status NOT NULL,
    gift        boolean NOT NULL,
    total       numeric(12, 2) NOT NULL,
    ordered_at  timestamptz NOT NULL
);
COMMENT ON TABLE orders IS 'One row for each order of 2025, cancelled ones included';
COMMENT ON COLUMN orders.region IS 'Where the order was delivered';
COMMENT ON COLUMN orders.total IS 'Sum of the lines, in euros';

CREATE TABLE order_lines (
    order_id   bigint NOT NULL REFERENCES orders,
    line_no    smallint NOT NULL,
    product_id integer NOT NULL REFERENCES products,
    quantity   smallint NOT NULL CHECK (quantity > 0),
    unit_price numeric(10, 2) NOT NULL,
    amount     numeric(12, 2) NOT NULL,
    PRIMARY KEY (order_id, line_no)
);
COMMENT ON TABLE order_lines IS 'What each order holds';
COMMENT ON COLUMN order_lines.unit_price IS 'What one piece was sold for, discount taken off';

CREATE TABLE refunds (
    refund_id   bigint PRIMARY KEY,
    order_id    bigint NOT NULL UNIQUE REFERENCES orders,
    reason      text NOT NULL,
    amount      numeric(12, 2) NOT NULL CHECK (amount > 0),
    restocked   boolean NOT NULL,
    refunded_at timestamptz NOT NULL
);
COMMENT ON TABLE refunds IS 'Orders that came back, wholly or in part; one refund an order at most';
COMMENT ON COLUMN refunds.reason IS 'What the customer chose from the list on the return form';
COMMENT ON COLUMN refunds.restocked IS 'Whether the goods could be sold again';
