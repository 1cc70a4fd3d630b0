use ndarray::array;

use super::*;
use crate::analyse::Power;
use crate::noise::Noise;

fn normal(rows: usize, columns: usize, noise: &mut Noise) -> Array2<f64> {
    Array2::from_shape_fn((rows, columns), |_| noise.normal())
}

/// Rows that are orthonormal: Gram–Schmidt, twice.
fn orthonormal(rows: usize, columns: usize, noise: &mut Noise) -> Array2<f64> {
    let mut q = normal(rows, columns, noise);
    for i in 0..rows {
        for _ in 0..2 {
            for j in 0..i {
                let share = q.row(i).dot(&q.row(j));
                let other = q.row(j).to_owned();
                q.row_mut(i).scaled_add(-share, &other);
            }
        }
        let norm = q.row(i).dot(&q.row(i)).sqrt();
        q.row_mut(i).mapv_inplace(|x| x / norm);
    }
    q
}

/// A matrix of `neurons` rows with known singular values, patterns and mixtures.
fn known(s: &[f64], neurons: usize, components: usize) -> (Array2<f64>, Array2<f64>, Array2<f64>) {
    let mut noise = Noise::new((neurons * 1000 + components) as u64);
    let mut u = orthonormal(s.len(), components, &mut noise);
    let h = orthonormal(s.len(), neurons, &mut noise);
    for mut row in u.rows_mut() {
        if row.sum() < 0.0 {
            row.mapv_inplace(|x| -x);
        }
    }
    let mut scaled = u.clone();
    for (mut row, s) in scaled.rows_mut().into_iter().zip(s) {
        row *= *s;
    }
    (h.t().dot(&scaled), u, h)
}

fn steep(count: usize) -> Vec<f64> {
    (1..=count).map(|k| (k as f64).powi(-2)).collect()
}

fn spread(count: usize) -> Vec<f64> {
    (1..=count).map(|k| 3.0 - k as f64 / count as f64).collect()
}

#[test]
fn known_singular_values_patterns_and_mixtures_come_back_on_both_routes() {
    for s in [steep(30), spread(30), vec![5.0], vec![2.0, 1.0]] {
        for (neurons, components) in [(32, 60), (60, 32), (30, 30)] {
            let (v, u, h) = known(&s, neurons, components);
            let spa = Spa::of(&v.view(), usize::MAX).unwrap();
            assert_eq!(spa.spectrum.rank(), s.len());
            for (j, &wanted) in s.iter().enumerate() {
                let found = spa.spectrum.values[j];
                assert!((found - wanted).abs() < 1e-9 * wanted, "{j}: {found} {wanted}");
                for (a, b) in spa.patterns.row(j).iter().zip(u.row(j)) {
                    assert!((a - b).abs() < 1e-5, "{neurons} {components} {j}: {a} {b}");
                }
                for (a, b) in spa.mixing.column(j).iter().zip(h.row(j)) {
                    assert!((a - wanted * b).abs() < 1e-5 * s[0]);
                }
            }
            let back = spa.mixing.dot(&spa.patterns);
            assert!((&back - &v).iter().all(|e| e.abs() < 1e-9));
        }
    }
}

#[test]
fn the_power_of_a_steep_spectrum_is_right() {
    let s = steep(200);
    let total: f64 = s.iter().sum();
    let mut sum = 0.0;
    let wanted = 1 + s
        .iter()
        .take_while(|&&s| {
            sum += s;
            sum < 0.99 * total - 1e-9
        })
        .count();
    let (v, _, _) = known(&s, 210, 200);
    for rows in [v.view(), v.t()] {
        let spa = Spa::of(&rows, 0).unwrap();
        assert_eq!(Power::of(&spa.spectrum, 0.99).unwrap().patterns, wanted);
        assert_eq!(spa.patterns.nrows(), 0);
    }
}

#[test]
fn columns_of_zeros_and_matrices_of_zeros_have_no_patterns_of_their_own() {
    let v = array![[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]];
    for rows in [v.clone(), v.t().to_owned()] {
        assert_eq!(Spa::of(&rows.view(), 9).unwrap().spectrum.rank(), 1);
    }
    for shape in [(2, 3), (3, 2), (0, 3), (3, 0), (0, 0)] {
        let spa = Spa::of(&Array2::<f64>::zeros(shape).view(), 9).unwrap();
        assert_eq!((spa.spectrum.rank(), spa.patterns.nrows()), (0, 0));
        assert_eq!(spa.mixing.dim(), (shape.0, 0));
    }
}

#[test]
fn patterns_of_one_sign_are_positive_and_balanced_ones_begin_with_their_largest() {
    let v = array![[-1.0, -2.0], [-2.0, -4.0]];
    let spa = Spa::of(&v.view(), 9).unwrap();
    assert!(spa.patterns.iter().all(|&u| u > 0.0));
    assert!(spa.mixing.iter().all(|&a| a < 0.0));
    assert!(is_turned(array![-1.0, 1.0 + 1e-9].view()));
    assert!(!is_turned(array![-0.1, 1.1, -1.0].view()));
    assert!(is_turned(array![0.1, -1.0, 0.9].view()));
}

#[test]
fn narrow_significance_orders_by_the_share_in_one_neuron() {
    let spectrum = Spa::of(&array![[1.0]].view(), 1).unwrap().spectrum;
    let spa = Spa {
        spectrum,
        patterns: array![[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]],
        mixing: array![[1.0, -3.0, 0.0], [0.0, 0.0, 2.0]],
    };
    let order: Vec<_> = spa.narrow(0).iter().map(|n| (n.pattern, n.magnitude, n.sign)).collect();
    assert_eq!(order, [(1, 3.0, -1.0), (0, 1.0, 1.0)]);
    assert_eq!(spa.mu(0, 0).unwrap(), array![0.0, -1.0]);
    assert_eq!(spa.mu(0, 2), None);
    assert_eq!((spa.mu(1, 0).unwrap(), spa.narrow(7)), (array![0.5, 0.5], Vec::new()));
}

#[test]
fn single_precision_steep_spectra_keep_their_singular_values() {
    let s = steep(40);
    let (v, _, _) = known(&s, 64, 50);
    let single = v.mapv(|x| x as f32);
    let spa = Spa::of(&single.view(), 0).unwrap();
    for (found, wanted) in spa.spectrum.values.iter().zip(&s) {
        assert!((found - wanted).abs() < 1e-5 * wanted, "{found} {wanted}");
    }
}

#[test]
fn a_value_that_is_not_finite_is_refused() {
    for shape in [(2, 3), (3, 2)] {
        let mut v = Array2::<f64>::ones(shape);
        v[[1, 1]] = f64::NAN;
        assert!(Spa::of(&v.view(), 1).is_err());
    }
}
