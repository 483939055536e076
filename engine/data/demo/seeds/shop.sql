-- Customers, products and what was bought.
CREATE TABLE customer (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    city TEXT NOT NULL,
    age INTEGER
);
CREATE TABLE product (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    price REAL NOT NULL
);
CREATE TABLE purchase (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customer (id),
    product_id INTEGER NOT NULL REFERENCES product (id),
    quantity INTEGER NOT NULL,
    day DATE NOT NULL
);

INSERT INTO customer VALUES
    (1, 'Amir Khan', 'Boston', 36),
    (2, 'Beth Lowe', 'Denver', 28),
    (3, 'Cody Nash', 'Boston', 45),
    (4, 'Dana Pope', 'Austin', NULL),
    (5, 'Erik Voss', 'Seattle', 53),
    (6, 'Faye Lane', 'Denver', 31),
    (7, 'Gus Ortega', 'Austin', 64),
    (8, 'Hana Mori', 'Seattle', 25),
    (9, 'Ivan Petrov', 'Boston', NULL),
    (10, 'Jill Barnes', 'Denver', 42),
    (11, 'Kurt Weiss', 'Seattle', 39),
    (12, 'Lola Perez', 'Austin', 22),
    (13, 'Miles Grant', 'Boston', 58);

INSERT INTO product VALUES
    (1, 'desk lamp', 'home', 24.5),
    (2, 'coffee mug', 'kitchen', 7.25),
    (3, 'frying pan', 'kitchen', 31.75),
    (4, 'garden hose', 'garden', 19.5),
    (5, 'yoga mat', 'sport', 22.25),
    (6, 'tennis racket', 'sport', 64.5),
    (7, 'wall clock', 'home', 28.75),
    (8, 'bread knife', 'kitchen', 15.25),
    (9, 'flower pot', 'garden', 9.5),
    (10, 'water bottle', 'sport', 12.75),
    (11, 'floor rug', 'home', 85.5),
    (12, 'tea kettle', 'kitchen', 38.25),
    (13, 'hand rake', 'garden', 11.25),
    (14, 'running shoes', 'sport', 92.5),
    (15, 'picture frame', 'home', 14.25);

INSERT INTO purchase VALUES
    (1, 1, 2, 4, '2023-01-09'),
    (2, 1, 3, 1, '2023-01-21'),
    (3, 2, 5, 2, '2023-02-03'),
    (4, 2, 10, 3, '2023-02-17'),
    (5, 2, 14, 1, '2023-03-08'),
    (6, 3, 1, 2, '2023-03-25'),
    (7, 3, 4, 1, '2023-04-11'),
    (8, 4, 9, 6, '2023-04-29'),
    (9, 4, 13, 2, '2023-05-06'),
    (10, 5, 6, 1, '2023-05-30'),
    (11, 5, 10, 5, '2023-06-14'),
    (12, 5, 2, 8, '2023-07-02'),
    (13, 5, 12, 1, '2023-08-19'),
    (14, 6, 7, 1, '2023-09-05'),
    (15, 6, 8, 2, '2023-09-23'),
    (16, 7, 4, 3, '2023-10-12'),
    (17, 7, 9, 10, '2023-11-01'),
    (18, 8, 5, 1, '2023-12-18'),
    (19, 8, 14, 2, '2024-01-07'),
    (20, 8, 2, 2, '2024-01-26'),
    (21, 10, 3, 1, '2024-02-10'),
    (22, 10, 8, 3, '2024-03-04'),
    (23, 10, 12, 2, '2024-03-28'),
    (24, 11, 1, 4, '2024-04-15'),
    (25, 11, 10, 7, '2024-05-09'),
    (26, 12, 15, 5, '2024-06-01'),
    (27, 12, 2, 12, '2024-06-20'),
    (28, 13, 6, 2, '2024-07-13'),
    (29, 13, 9, 9, '2024-08-08'),
    (30, 13, 15, 1, '2024-09-27');
