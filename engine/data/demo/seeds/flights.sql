-- Airlines, their flights and the tickets sold for them.
CREATE TABLE airline (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    country TEXT NOT NULL,
    planes INTEGER NOT NULL
);
CREATE TABLE flight (
    id INTEGER PRIMARY KEY,
    airline_id INTEGER NOT NULL REFERENCES airline (id),
    code TEXT NOT NULL,
    destination TEXT NOT NULL,
    miles INTEGER NOT NULL
);
CREATE TABLE ticket (
    id INTEGER PRIMARY KEY,
    flight_id INTEGER NOT NULL REFERENCES flight (id),
    passenger TEXT NOT NULL,
    price REAL,
    day DATE NOT NULL
);

INSERT INTO airline VALUES
    (1, 'Sky North', 'Norway', 42),
    (2, 'Aero Sur', 'Chile', 57),
    (3, 'Blue Wing', 'Canada', 88),
    (4, 'Pacific Star', 'Japan', 120),
    (5, 'Alpine Air', 'Austria', 19),
    (6, 'Maple Jet', 'Canada', 35),
    (7, 'Fjord Air', 'Norway', 14),
    (8, 'Tokyo Lines', 'Japan', 76),
    (9, 'Danube Air', 'Austria', 23),
    (10, 'Andes Fly', 'Chile', 28);

INSERT INTO flight VALUES
    (1, 1, 'SN101', 'Oslo', 310),
    (2, 1, 'SN205', 'London', 720),
    (3, 1, 'SN330', 'Berlin', 520),
    (4, 2, 'AS118', 'Lima', 1530),
    (5, 2, 'AS240', 'Madrid', 6640),
    (6, 3, 'BW007', 'Toronto', 2090),
    (7, 3, 'BW415', 'London', 4720),
    (8, 3, 'BW522', 'Tokyo', 4680),
    (9, 3, 'BW630', 'Lima', 3990),
    (10, 4, 'PS001', 'Tokyo', 270),
    (11, 4, 'PS088', 'Sydney', 4840),
    (12, 4, 'PS160', 'London', 5950),
    (13, 5, 'AA012', 'Vienna', 180),
    (14, 5, 'AA077', 'Berlin', 325),
    (15, 6, 'MJ310', 'Toronto', 1660),
    (16, 6, 'MJ454', 'Sydney', 9660),
    (17, 7, 'FA021', 'Oslo', 195),
    (18, 8, 'TL900', 'Tokyo', 550),
    (19, 8, 'TL911', 'Berlin', 5540),
    (20, 9, 'DA044', 'Vienna', 150),
    (21, 9, 'DA066', 'Madrid', 1125);

INSERT INTO ticket VALUES
    (1, 1, 'Anders Berg', 89.5, '2021-01-15'),
    (2, 1, 'Britt Dahl', 95.25, '2021-02-20'),
    (3, 2, 'Colin West', 149.5, '2021-03-12'),
    (4, 3, 'Dora Engel', NULL, '2021-04-18'),
    (5, 4, 'Diego Rojas', 260.75, '2021-05-09'),
    (6, 5, 'Eva Torres', 780.5, '2021-06-23'),
    (7, 5, 'Fernando Gil', 815.25, '2021-07-14'),
    (8, 6, 'Gordon Reid', 320.5, '2021-08-30'),
    (9, 7, 'Holly Byrne', 610.75, '2021-09-17'),
    (10, 7, 'Iris Dumont', 645.5, '2021-10-08'),
    (11, 7, 'Jon Becker', NULL, '2021-11-26'),
    (12, 8, 'Kenji Sato', 702.25, '2021-12-19'),
    (13, 9, 'Lucia Vega', 540.5, '2022-01-11'),
    (14, 10, 'Mai Tanaka', 110.25, '2022-02-02'),
    (15, 11, 'Neil Brooks', 690.5, '2022-03-25'),
    (16, 11, 'Olivia Chen', 725.75, '2022-04-16'),
    (17, 12, 'Peter Walsh', 880.25, '2022-05-07'),
    (18, 13, 'Rita Huber', 75.5, '2022-06-29'),
    (19, 14, 'Stefan Koch', NULL, '2022-07-21'),
    (20, 15, 'Tina Roy', 240.25, '2022-08-13'),
    (21, 15, 'Uma Patel', 255.5, '2022-09-04'),
    (22, 16, 'Victor Hale', 1120.5, '2022-10-27'),
    (23, 17, 'Wendy Moe', 68.25, '2022-11-18'),
    (24, 18, 'Yuki Abe', 130.5, '2022-12-10'),
    (25, 19, 'Zoe Lang', 835.5, '2023-01-31'),
    (26, 20, 'Albert Fink', 59.75, '2023-03-03'),
    (27, 21, 'Bruno Saez', NULL, '2023-04-24'),
    (28, 2, 'Clara Wood', 162.25, '2023-05-16'),
    (29, 6, 'Derek Stone', 305.25, '2023-06-07');
