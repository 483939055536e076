-- Doctors, patients and their visits; a visit not yet billed has no cost.
CREATE TABLE doctor (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    field TEXT NOT NULL,
    salary INTEGER NOT NULL
);
CREATE TABLE patient (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    city TEXT NOT NULL,
    born DATE NOT NULL
);
CREATE TABLE visit (
    id INTEGER PRIMARY KEY,
    doctor_id INTEGER NOT NULL REFERENCES doctor (id),
    patient_id INTEGER NOT NULL REFERENCES patient (id),
    day DATE NOT NULL,
    cost REAL
);

INSERT INTO doctor VALUES
    (1, 'Adam Stark', 'surgery', 8200),
    (2, 'Bella Cruz', 'cardiology', 7900),
    (3, 'Cyril Dupont', 'dermatology', 6400),
    (4, 'Diana Frost', 'surgery', 9100),
    (5, 'Edgar Bloom', 'neurology', 8700),
    (6, 'Fiona Clarke', 'cardiology', 7300),
    (7, 'George Tan', 'dermatology', 5800),
    (8, 'Helen Russo', 'neurology', 7600),
    (9, 'Igor Novak', 'surgery', 6900),
    (10, 'Julia Meyer', 'cardiology', 8500);

INSERT INTO patient VALUES
    (1, 'Aaron Bell', 'Lyon', '1964-04-12'),
    (2, 'Brenda Hart', 'Nice', '1978-09-03'),
    (3, 'Carl Jensen', 'Lyon', '1990-01-27'),
    (4, 'Doris Klein', 'Paris', '1955-12-08'),
    (5, 'Elena Popa', 'Paris', '1983-06-15'),
    (6, 'Felix Wagner', 'Nice', '2001-03-30'),
    (7, 'Gina Lopez', 'Lyon', '1972-11-19'),
    (8, 'Hugo Martin', 'Paris', '1996-07-22'),
    (9, 'Irene Costa', 'Lille', '1949-02-05'),
    (10, 'James Olsen', 'Lille', '1987-10-10'),
    (11, 'Karen Silva', 'Paris', '1969-05-26'),
    (12, 'Leo Bauer', 'Lyon', '2004-08-14'),
    (13, 'Monica Dale', 'Nice', '1992-12-31');

INSERT INTO visit VALUES
    (1, 1, 1, '2022-01-11', 420.5),
    (2, 1, 4, '2022-01-28', 515.25),
    (3, 2, 2, '2022-02-09', 140.5),
    (4, 2, 1, '2022-03-02', 165.75),
    (5, 2, 9, '2022-03-21', 182.5),
    (6, 3, 3, '2022-04-06', 75.25),
    (7, 4, 5, '2022-04-27', 610.5),
    (8, 4, 7, '2022-05-13', NULL),
    (9, 4, 4, '2022-06-08', 730.25),
    (10, 4, 11, '2022-06-30', 585.75),
    (11, 5, 9, '2022-07-19', 310.5),
    (12, 5, 8, '2022-08-24', 275.25),
    (13, 6, 2, '2022-09-14', 120.75),
    (14, 6, 10, '2022-10-05', 135.5),
    (15, 7, 6, '2022-10-26', 60.25),
    (16, 7, 3, '2022-11-16', NULL),
    (17, 7, 12, '2022-12-07', 68.5),
    (18, 8, 1, '2023-01-18', 290.25),
    (19, 8, 5, '2023-02-15', NULL),
    (20, 10, 9, '2023-03-15', 205.5),
    (21, 10, 11, '2023-04-12', 190.25),
    (22, 10, 4, '2023-05-10', 225.75),
    (23, 1, 7, '2023-06-07', 480.5),
    (24, 3, 12, '2023-07-05', 82.75),
    (25, 2, 10, '2023-08-02', 150.25),
    (26, 4, 1, '2023-09-20', NULL),
    (27, 10, 8, '2023-10-18', 175.5),
    (28, 6, 9, '2023-11-29', 128.25);
