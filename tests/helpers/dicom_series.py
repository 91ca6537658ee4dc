"""DICOM files, written as scanners do."""

import highdicom
import numpy as np
import pydicom

AXIAL = (1, 0, 0, 0, 1, 0)
OBLIQUE = (0.8, 0.6, 0, -0.36, 0.48, 0.8)  # two unit vectors at a right angle


def write_slice(path, values, **attributes):
    """One CT slice of int16 values; attributes replace or, if None, remove those of a scanner."""
    values = np.asarray(values, np.int16)
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.SOPInstanceUID, data.SOPClassUID = pydicom.uid.generate_uid(), pydicom.uid.CTImageStorage
    data.Modality, data.SeriesNumber, data.InstanceNumber = "CT", 3, 1
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.5"
    data.PatientID, data.PatientName, data.StudyDate = "p7", "Müller^Jörg", "20260102"
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SliceThickness = 2
    data.ImagePositionPatient, data.ImageOrientationPatient, data.PixelSpacing = [0, 0, 0], list(AXIAL), [0.5, 0.7]
    data.Rows, data.Columns = values.shape
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 1
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.RescaleSlope, data.RescaleIntercept = 2, -1000
    data.PixelData = values.tobytes()
    for name, value in attributes.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.file_meta.MediaStorageSOPInstanceUID, data.file_meta.MediaStorageSOPClassUID = (
        data.SOPInstanceUID,
        data.SOPClassUID,
    )
    data.save_as(path, enforce_file_format=True)
    return path


def write_series(folder, volume, *, step=2.5, orientation=AXIAL, origin=(10, -20, 30), places=None, **attributes):
    """A file for each slice (D, H, W) along the normal, called by numbers that run against their order."""
    folder.mkdir(parents=True, exist_ok=True)
    normal = np.cross(orientation[:3], orientation[3:])
    places = range(len(volume)) if places is None else places
    return [
        write_slice(
            folder / f"{len(volume) - index:04}",
            values,
            ImageOrientationPatient=list(orientation),
            ImagePositionPatient=[round(float(x), 6) for x in np.array(origin) + place * step * normal],
            InstanceNumber=len(volume) - index,
            **attributes,
        )
        for index, (place, values) in enumerate(zip(places, volume, strict=True))
    ]


def write_enhanced(path, files, frame_of_reference="1.2.3.5"):
    """One enhanced file of all slices of a series, made by highdicom as archives do."""
    slices = [pydicom.dcmread(file) for file in files]
    for data in slices:
        for name in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyTime", "Manufacturer"):
            setattr(data, name, "")
        data.PatientPosition, data.PositionReferenceIndicator = "HFS", ""
        data.ImageType, data.AcquisitionNumber, data.BurnedInAnnotation = ["ORIGINAL", "PRIMARY", "AXIAL"], 1, "NO"
        data.SeriesDate = data.ContentDate = data.AcquisitionDate = "20260102"
        data.SeriesTime = data.ContentTime = data.AcquisitionTime = "101010"
    uid = pydicom.uid.generate_uid
    made = highdicom.legacy.LegacyConvertedEnhancedCTImage(slices, uid(), 9, uid(), 1)
    made.FrameOfReferenceUID = frame_of_reference
    made.save_as(path)
    return path
