-- After the rows are in: an index built at once is cheaper than one kept up row by row.
CREATE INDEX orders_customer ON orders (customer_id);
CREATE INDEX orders_ordered_at ON orders (ordered_at);
CREATE INDEX order_lines_product ON order_lines (product_id);

CREATE VIEW sales_by_month AS
SELECT date_trunc('month', ordered_at)::date AS month,
       region,
       count(*) AS orders,
       sum(total) AS revenue
FROM orders
WHERE status <> 'cancelled'
GROUP BY 1, 2;
COMMENT ON VIEW sales_by_month IS 'Orders and revenue by month and region of delivery';

ANALYZE;
